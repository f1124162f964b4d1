"""Lengths: each distribution against its own closed form, and what YAML says of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from instruments.catalog import checked
from instruments.errors import ConfigurationError
from instruments.workloads.lengths import Empirical, Length, Lognormal, Normal, Uniform, drawing, shortest

N = 20_000


def drawn(length: Length, seed: int = 1) -> list[int]:
    rng, draw = Random(seed), drawing(length)
    return [draw(rng) for _ in range(N)]


def normal_cdf(value: float) -> float:
    return (1 + math.erf(value / math.sqrt(2))) / 2


def ks(seen: list[int], cdf: Callable[[float], float], low: int, high: int) -> float:
    """Greatest distance between the seen shares and a distribution rounded and cut to its bounds."""
    base, whole = cdf(low - 0.5), cdf(high + 0.5) - cdf(low - 0.5)
    counts, reached, greatest = Counter(seen), 0, 0.0
    for value in range(low, high + 1):
        reached += counts[value]
        greatest = max(greatest, abs(reached / len(seen) - (cdf(value + 0.5) - base) / whole))
    return greatest


def test_a_number_is_itself() -> None:
    assert set(drawn(64)) == {64}


def test_uniform_lengths_are_each_as_frequent_both_ends_included() -> None:
    counts = Counter(drawn(Uniform((8, 17))))
    assert sorted(counts) == list(range(8, 18))
    chi_square = sum((count - N / 10) ** 2 / (N / 10) for count in counts.values())
    assert chi_square < 21.7  # 99 % point with nine degrees of freedom


@pytest.mark.parametrize(
    "length", [Normal(100, 20, max=400), Normal(100, 40, min=80, max=120), Normal(5, 20, max=30)], ids=str
)
def test_normal_lengths_have_the_shape_of_the_part_within_their_bounds(length: Normal) -> None:
    seen = drawn(length)
    assert length.min <= min(seen) <= max(seen) <= length.max
    assert (
        ks(seen, lambda x: normal_cdf((x - length.mean) / length.sd), length.min, length.max) < 1.628 / N**0.5
    )


@pytest.mark.parametrize(
    "length", [Lognormal(64, 0.7, max=4_096), Lognormal(64, 1.5, min=16, max=256)], ids=str
)
def test_lognormal_lengths_have_the_shape_of_the_part_within_their_bounds(length: Lognormal) -> None:
    seen = drawn(length)
    assert length.min <= min(seen) <= max(seen) <= length.max

    def cdf(x: float) -> float:
        return normal_cdf(math.log(x / length.median) / length.sigma)

    assert ks(seen, cdf, length.min, length.max) < 1.628 / N**0.5


def test_a_lognormals_median_is_its_median() -> None:
    seen = sorted(drawn(Lognormal(64, 0.7, max=100_000)))
    assert 62 <= seen[N // 2] <= 66  # standard error of the median: 64 * 0.7 * 1.2533 / sqrt(N) = 0.4


def test_lengths_that_were_seen_come_as_often_as_they_stand_there() -> None:
    listed, weighted = Counter(drawn(Empirical((12, 40, 40)))), Counter(drawn(Empirical(((12, 1), (40, 2)))))
    assert listed == weighted
    assert set(listed) == {12, 40}
    assert listed[40] == pytest.approx(N * 2 / 3, abs=4 * math.sqrt(N * 2 / 9))
    assert set(drawn(Empirical(((12, 0.0), 40)))) == {40}


@pytest.mark.parametrize(
    ("length", "least"),
    [
        (7, 7),
        (Uniform((3, 9)), 3),
        (Normal(9, 2, min=4, max=12), 4),
        (Lognormal(9, 2, max=12), 1),
        (Empirical((5, (2, 1))), 2),
    ],
)
def test_the_shortest_length_is_known_before_any_is_drawn(length: Length, least: int) -> None:
    assert shortest(length) == least


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: shortest(0), "at least 1 token"),
        (lambda: Uniform((0, 5)), "got 0 to 5"),
        (lambda: Uniform((6, 5)), "got 6 to 5"),
        (lambda: Normal(10, 0, max=20), "mean and sd must be > 0"),
        (lambda: Normal(10, 2, min=9, max=8), "got 9 to 8"),
        (lambda: Normal(10, 1, min=20, max=30), "less than 1 %"),
        (lambda: Normal(float("nan"), 1, max=30), "mean and sd"),
        (lambda: Lognormal(10, -1, max=20), "median and sigma must be > 0"),
        (lambda: Lognormal(10, 0.1, min=30, max=60), "less than 1 %"),
        (lambda: Empirical(()), "there must be one"),
        (lambda: Empirical((0,)), "at least 1"),
        (lambda: Empirical(((5, 0.0),)), "weights"),
        (lambda: Empirical(((5, -1.0), 4)), "weights"),
    ],
)
def test_what_is_no_length_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("told", "made"),
    [
        (64, 64),
        ({"uniform": [8, 16]}, Uniform((8, 16))),
        ({"normal": {"mean": 64, "sd": 16, "max": 128}}, Normal(64, 16, 128)),
        ({"lognormal": {"median": 64, "sigma": 0.7, "min": 8, "max": 512}}, Lognormal(64, 0.7, 512, 8)),
        ({"empirical": [12, 40, 40]}, Empirical((12, 40, 40))),
        ({"empirical": [[12, 1], [40, 2.5]]}, Empirical(((12, 1), (40, 2.5)))),
    ],
)
def test_yaml_names_a_distribution_by_its_only_key(told: Any, made: Length) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Length)
    assert checked(told, adapter, "a") == made
    assert checked(made, adapter, "a") == made


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (0, "a.number: Input should be greater than or equal to 1, got 0"),
        ("64", "a.number: Input should be a valid integer, got '64'"),
        (True, "a.number: Input should be a valid integer"),
        (None, "a.number: Input should be a valid integer"),
        ({"unifrom": [1, 2]}, "whose only key is one of: number, uniform, normal, lognormal, empirical"),
        ({"uniform": [1, 2], "normal": {}}, "whose only key is one of"),
        ({}, "whose only key is one of"),
        ({"uniform": [5]}, "a.uniform.uniform[1]: Field required"),
        ({"uniform": [5, 1]}, "a.uniform: Value error, a length is at least 1"),
        ({"normal": {"mean": 5, "max": 9}}, "a.normal.sd: Field required"),
        ({"normal": {"mean": 5, "sd": 1, "max": 9, "mode": 5}}, "a.normal.mode: Unexpected keyword argument"),
        ({"empirical": []}, "a.empirical: Value error"),
    ],
)
def test_a_length_that_is_wrong_in_yaml_is_named_with_its_path(told: Any, said: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Length)
    with pytest.raises(ConfigurationError) as caught:
        checked(told, adapter, "a")
    assert said in str(caught.value)

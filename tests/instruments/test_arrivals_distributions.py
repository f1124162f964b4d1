"""Arrivals by chance against the distributions they claim, by closed forms and a KS statistic of our own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice, pairwise

import pytest

from instruments.arrivals import Gamma, OpenLoop, Poisson, Ramp, Stage, Stages
from tests.instruments.shapes import SECOND

N = 20_000
KS_1_PERCENT = 1.628 / math.sqrt(N)  # Kolmogorov's 99 % point over the root of the count, for large counts


def gaps_s(process: OpenLoop, seed: int = 1, count: int = N) -> list[float]:
    due = [0, *islice(process.due_ns(seed), count)]
    return [(later - earlier) / SECOND for earlier, later in pairwise(due)]


def ks(seen: Sequence[float], cdf: Callable[[float], float]) -> float:
    """The greatest distance between the seen distribution's steps and a stated one."""
    count, ordered = len(seen), sorted(seen)
    return max(
        max(cdf(value) - rank / count, (rank + 1) / count - cdf(value)) for rank, value in enumerate(ordered)
    )


def exponential(value: float) -> float:
    return -math.expm1(-value)


# Distribution functions of a gamma with mean 1, for the shapes that have one in closed form.
GAMMA_CDF: dict[float, Callable[[float], float]] = {
    0.5: lambda x: math.erf(math.sqrt(x * 0.5)),  # chi-square with one degree of freedom
    1.0: exponential,
    2.0: lambda x: 1 - math.exp(-2 * x) * (1 + 2 * x),  # Erlang
    3.0: lambda x: 1 - math.exp(-3 * x) * (1 + 3 * x + 4.5 * x * x),
}


def test_the_statistic_itself_on_numbers_worked_out_by_hand() -> None:
    assert ks([0.5], lambda x: x) == 0.5
    assert ks([0.1, 0.2], lambda x: x) == pytest.approx(0.8)  # at 0.2: 2 of 2 seen, 0.2 expected


@pytest.mark.parametrize("rate", [0.5, 20.0, 5_000.0])
def test_poisson_gaps_are_exponential(rate: float) -> None:
    gaps = [gap * rate for gap in gaps_s(Poisson(rate))]
    mean = sum(gaps) / N
    variance = sum((gap - mean) ** 2 for gap in gaps) / (N - 1)
    assert mean == pytest.approx(1, abs=4 / math.sqrt(N))  # four standard errors
    assert variance == pytest.approx(1, abs=4 * math.sqrt(8 / N))  # fourth central moment 9, so 9 - 1
    assert ks(gaps, exponential) < KS_1_PERCENT


def test_poisson_counts_scatter_as_much_as_their_mean() -> None:
    counts = Counter(due // SECOND for due in islice(Poisson(20.0).due_ns(2), N))
    whole = [counts[second] for second in range(max(counts))]
    mean = sum(whole) / len(whole)
    variance = sum((count - mean) ** 2 for count in whole) / (len(whole) - 1)
    assert mean == pytest.approx(20, abs=4 * math.sqrt(20 / len(whole)))
    assert variance / mean == pytest.approx(1, abs=4 * math.sqrt(2 / len(whole)))


@pytest.mark.parametrize("burstiness", sorted(GAMMA_CDF))
def test_gamma_gaps_have_their_mean_their_scatter_and_their_shape(burstiness: float) -> None:
    gaps = [gap * 50 for gap in gaps_s(Gamma(50.0, burstiness))]
    mean = sum(gaps) / N
    variance = sum((gap - mean) ** 2 for gap in gaps) / (N - 1)
    assert mean == pytest.approx(1, abs=4 / math.sqrt(burstiness * N))
    # Excess kurtosis of a gamma is 6 / shape.
    assert variance == pytest.approx(1 / burstiness, abs=4 / burstiness * math.sqrt((2 + 6 / burstiness) / N))
    assert ks(gaps, GAMMA_CDF[burstiness]) < KS_1_PERCENT


@pytest.mark.parametrize("burstiness", [0.5, 2.0])
def test_the_statistic_tells_one_burstiness_from_another(burstiness: float) -> None:
    gaps = [gap * 50 for gap in gaps_s(Gamma(50.0, burstiness))]
    assert ks(gaps, exponential) > 5 * KS_1_PERCENT


def linear(t: float) -> float:
    return 200 * t + (1_000 - 200) / 30 * t * t / 2


def exponential_ramp(t: float) -> float:
    growth = math.log(1_000 / 200) / 30
    return 200 / growth * math.expm1(growth * t)


def staged(t: float) -> float:
    return min(t, 10.0) * 300 + max(0.0, t - 15) * 900


@pytest.mark.parametrize(
    ("process", "integral", "total"),
    [
        (Ramp(200.0, 1_000.0, 30.0, "linear", "poisson"), linear, 18_000.0),
        (Ramp(200.0, 1_000.0, 30.0, "exponential", "poisson"), exponential_ramp, 14_912.0),
        (Stages((Stage(300, 10), Stage(0, 5), Stage(900, 15)), "poisson"), staged, 16_500.0),
    ],
    ids=["linear", "exponential", "stages"],
)
def test_a_poisson_process_of_changing_rate_is_one_of_rate_one_in_its_own_time(
    process: OpenLoop, integral: Callable[[float], float], total: float
) -> None:
    due = list(process.due_ns(5))
    assert len(due) == pytest.approx(total, abs=4 * math.sqrt(total))
    own = [0.0, *(integral(one / SECOND) for one in due)]
    gaps = [later - earlier for earlier, later in pairwise(own)]
    assert ks(gaps, exponential) < 1.628 / math.sqrt(len(gaps))

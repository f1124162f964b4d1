"""Arrival processes without chance, and what all of them have in common."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Callable
from itertools import islice, pairwise

import pytest
from pydantic import TypeAdapter

from instruments.arrivals import (
    Arrivals,
    Burst,
    ClosedLoop,
    Constant,
    Gamma,
    OpenLoop,
    Poisson,
    Ramp,
    Replay,
    Stage,
    Stages,
)
from instruments.catalog import checked
from instruments.errors import ConfigurationError
from tests.instruments.shapes import SECOND

MS = SECOND // 1_000
CHANCE: list[OpenLoop] = [
    Poisson(200.0),
    Gamma(200.0, 0.5),
    Ramp(10.0, 90.0, 20.0, spacing="poisson"),
    Stages((Stage(50.0, 10.0), Stage(0.0, 1.0), Stage(100.0, 10.0)), spacing="poisson"),
]
FIXED: list[OpenLoop] = [
    Constant(200.0),
    Ramp(10.0, 90.0, 20.0),
    Stages((Stage(50.0, 10.0), Stage(100.0, 10.0))),
    Burst(10, 0.5),
    Replay((0.0, 0.5, 0.5, 2.0)),
]


def schedule(process: OpenLoop, seed: int) -> bytes:
    return array("q", islice(process.due_ns(seed), 2_000)).tobytes()


@pytest.mark.parametrize("process", [*CHANCE, *FIXED], ids=str)
def test_the_same_seed_gives_the_same_bytes(process: OpenLoop) -> None:
    assert schedule(process, 7) == schedule(pickle.loads(pickle.dumps(process)), 7)  # noqa: S301
    assert (schedule(process, 7) == schedule(process, 8)) is (process in FIXED)


@pytest.mark.parametrize("process", [*CHANCE, *FIXED], ids=str)
def test_due_times_are_whole_nanoseconds_that_never_decrease(process: OpenLoop) -> None:
    due = list(islice(process.due_ns(3), 5_000))
    assert all(type(one) is int and one >= 0 for one in due)
    assert all(earlier <= later for earlier, later in pairwise(due))


def test_a_seeds_schedule_does_not_change_between_releases() -> None:
    assert list(islice(Poisson(10.0).due_ns(7), 3)) == [45607617, 52106442, 148438487]
    assert list(islice(Gamma(10.0, 0.5).due_ns(7), 3)) == [16209668, 51119512, 195406345]


def test_bursts_come_whole_and_end_with_their_count() -> None:
    due = list(Burst(3, 0.25, count=2).due_ns(1))
    assert due == [0, 0, 0, 250 * MS, 250 * MS, 250 * MS]
    assert list(islice(Burst(1, 2.0).due_ns(1), 4)) == [0, 2 * SECOND, 4 * SECOND, 6 * SECOND]


def test_recorded_times_are_replayed_at_their_speed() -> None:
    recorded = (0.0, 0.1, 0.1, 3.0)
    assert list(Replay(recorded).due_ns(1)) == [0, 100 * MS, 100 * MS, 3 * SECOND]
    assert list(Replay(recorded, speed=2.0).due_ns(1)) == [0, 50 * MS, 50 * MS, 1_500 * MS]
    assert list(Replay(recorded, speed=0.5).due_ns(1)) == [0, 200 * MS, 200 * MS, 6 * SECOND]


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Poisson(0.0), "rate_per_s must be > 0, got 0.0"),
        (lambda: Poisson(NAN), "rate_per_s must be > 0, got nan"),
        (lambda: Poisson(INFINITE), "rate_per_s must be > 0, got inf"),
        (lambda: Gamma(1.0, 0.0), "burstiness must be > 0"),
        (lambda: Ramp(1.0, 2.0, 0.0), "duration_s must be > 0"),
        (lambda: Ramp(0.0, 0.0, 1.0), "one of them > 0"),
        (lambda: Ramp(-1.0, 2.0, 1.0), "must be >= 0"),
        (lambda: Ramp(NAN, 2.0, 1.0), "must be >= 0"),
        (lambda: Ramp(0.0, 2.0, 1.0, shape="exponential"), "from_per_s must be > 0"),
        (lambda: Stages(()), "at least one stage"),
        (lambda: Stages((Stage(0.0, 1.0),)), "at least one stage"),
        (lambda: Stage(-1.0, 1.0), "rate_per_s must be >= 0"),
        (lambda: Stage(1.0, 0.0), "duration_s must be > 0"),
        (lambda: Burst(0, 1.0), "size must be > 0"),
        (lambda: Burst(1, 1.0, count=0), "count must be > 0"),
        (lambda: Replay((1.0, 0.5)), "never decrease"),
        (lambda: Replay((-1.0,)), ">= 0"),
        (lambda: Replay((NAN,)), "finite"),
        (lambda: Replay((1.0,), speed=0.0), "speed must be > 0"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("told", "made"),
    [
        ({"kind": "closed", "users": 4, "ramp_s": 2}, ClosedLoop(4, ramp_s=2.0)),
        ({"kind": "constant", "rate_per_s": 3}, Constant(3.0)),
        ({"kind": "poisson", "rate_per_s": 20}, Poisson(20.0)),
        ({"kind": "gamma", "rate_per_s": 20, "burstiness": 0.5}, Gamma(20.0, 0.5)),
        (
            {"kind": "ramp", "from_per_s": 1, "to_per_s": 9, "duration_s": 4, "shape": "exponential"},
            Ramp(1.0, 9.0, 4.0, "exponential"),
        ),
        ({"kind": "stages", "stages": [{"rate_per_s": 1, "duration_s": 2}]}, Stages((Stage(1.0, 2.0),))),
        ({"kind": "burst", "size": 5, "every_s": 2, "count": 3}, Burst(5, 2.0, 3)),
        ({"kind": "replay", "times_s": [0, 0.5], "speed": 2}, Replay((0.0, 0.5), 2.0)),
    ],
)
def test_yaml_names_a_process_by_its_kind(told: dict[str, object], made: object) -> None:
    assert checked(told, TypeAdapter(Arrivals), "a") == made


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"kind": "poison", "rate_per_s": 1}, "one of: closed, constant, poisson, gamma, ramp"),
        ({"rate_per_s": 1}, "one of: closed, constant, poisson"),
        (7, "one of: closed, constant, poisson"),
        ({"kind": "poisson"}, "a.poisson.rate_per_s: Field required"),
        ({"kind": "poisson", "rate_per_s": 1, "rate": 1}, "a.poisson.rate: Unexpected keyword argument"),
        ({"kind": "poisson", "rate_per_s": -1}, "rate_per_s must be > 0, got -1"),
        (
            {"kind": "stages", "stages": [{"rate_per_s": 1, "duration_s": "x"}]},
            "a.stages.stages[0].duration_s: Input should be a valid number",
        ),
    ],
)
def test_a_process_that_is_wrong_in_yaml_is_named_with_its_path(told: object, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked(told, TypeAdapter(Arrivals), "a")
    assert said in str(caught.value)

"""Rates that change: due times against the integral of the rate, summed up step by step."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator

import pytest

from instruments.arrivals import OpenLoop, Ramp, Stage, Stages
from tests.instruments.shapes import SECOND

MS = SECOND // 1_000
STEP_S = 0.0005
Rate = Callable[[float], float]


def integrals(rate: Rate, duration_s: float) -> Iterator[tuple[float, float]]:
    """(time, integral of the rate up to it) by the midpoint rule: no formula of the code under test."""
    reached = 0.0
    for step in range(round(duration_s / STEP_S)):
        reached += rate((step + 0.5) * STEP_S) * STEP_S
        yield (step + 1) * STEP_S, reached


@pytest.mark.parametrize(
    ("process", "rate"),
    [
        (Ramp(0.0, 40.0, 10.0), lambda t: 4 * t),
        (Ramp(40.0, 0.0, 10.0), lambda t: 40 - 4 * t),
        (Ramp(5.0, 45.0, 10.0), lambda t: 5 + 4 * t),
        (Ramp(20.0, 20.0, 10.0), lambda _: 20.0),
        (Ramp(2.0, 200.0, 10.0, "exponential"), lambda t: 2 * 100 ** (t / 10)),
        (Ramp(200.0, 2.0, 10.0, "exponential"), lambda t: 200 * 0.01 ** (t / 10)),
        (Ramp(20.0, 20.0, 10.0, "exponential"), lambda _: 20.0),
        (
            Stages((Stage(10.0, 3.0), Stage(0.0, 2.0), Stage(100.0, 5.0))),
            lambda t: 10.0 if t < 3 else 0.0 if t < 5 else 100.0,
        ),
    ],
    ids=["up", "down", "between", "level", "growing", "shrinking", "not growing", "stages"],
)
def test_as_many_are_due_as_the_rate_adds_up_to(process: OpenLoop, rate: Rate) -> None:
    due = list(process.due_ns(1))
    for time_s, expected in integrals(rate, 10.0):
        # The request of number k is due when the integral reaches k: the first at 0, so one more than k.
        seen = bisect_right(due, time_s * SECOND)
        assert math.floor(expected - 0.01) <= seen <= math.ceil(expected + 0.01), time_s


def test_a_linear_ramp_by_hand() -> None:
    # Rate 2t: integral t^2, so request k is due at the root of k; 4 s hold 16 of them.
    due = list(Ramp(0.0, 8.0, 4.0).due_ns(1))
    assert len(due) == 16
    assert due[:5] == [0, SECOND, 1_414_213_562, 1_732_050_808, 2 * SECOND]
    assert due[9] == 3 * SECOND


def test_an_exponential_ramp_by_hand() -> None:
    # Rate 2^t ln 2: integral 2^t - 1, so requests 0, 1, 3 and 7 are due at 0, 1, 2 and 3 s.
    base = math.log(2)
    due = list(Ramp(base, 8 * base, 3.0 + 1e-6, "exponential").due_ns(1))
    assert [round(due[k] / MS) for k in (0, 1, 3)] == [0, 1_000, 2_000]


def test_stages_follow_one_another_and_a_pause_has_none() -> None:
    due = list(Stages((Stage(2.0, 1.0), Stage(0.0, 10.0), Stage(1.0, 2.0))).due_ns(1))
    assert [one / SECOND for one in due] == [0.0, 0.5, 11.0, 12.0]


def test_a_request_that_does_not_fit_into_a_stage_is_due_in_the_next() -> None:
    # 1.5 requests in the first stage: the second of them waits for half a request more, at 10 a second.
    due = list(Stages((Stage(1.5, 1.0), Stage(10.0, 0.2))).due_ns(1))
    assert [one / MS for one in due] == pytest.approx([0, 2_000 / 3, 1_050, 1_150])


def test_a_product_that_binary_numbers_overshoot_gives_no_request_too_many() -> None:
    assert 1.1 * 50 > 55
    assert len(list(Stages((Stage(1.1, 50.0),)).due_ns(1))) == 55
    assert len(list(Ramp(1.1, 1.1, 50.0).due_ns(1))) == 55

"""When requests are due without chance, and what time it is."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

from instruments.arrivals import ClosedLoop, Constant
from instruments.clock import ClockAnchor
from tests.instruments.shapes import SECOND


def test_the_millionth_arrival_at_three_a_second_carries_no_sum_of_errors() -> None:
    due = list(islice(Constant(3.0).due_ns(1), 1_000_001))
    assert due[:4] == [0, 333_333_333, 666_666_667, 1_000_000_000]
    assert due[1_000_000] == 333_333_333_333_333  # 10^15 / 3, rounded
    assert due[999_999] == 333_333 * SECOND
    assert all(later - earlier in (333_333_333, 333_333_334) for earlier, later in pairwise(due))


def test_a_slow_rate_has_its_spacing() -> None:
    assert list(islice(Constant(0.25).due_ns(1), 3)) == [0, 4 * SECOND, 8 * SECOND]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="rate_per_s"):
        Constant(rate)


@pytest.mark.parametrize(
    ("users", "think_s", "ramp_s"),
    [(0, 0.0, 0.0), (-1, 0.0, 0.0), (1, -0.1, 0.0), (1, 0.0, -0.1), (1, float("nan"), 0.0)],
)
def test_a_closed_loop_has_a_user_and_no_negative_times(users: int, think_s: float, ramp_s: float) -> None:
    with pytest.raises(ValueError, match="users"):
        ClosedLoop(users, think_s, ramp_s)


def test_an_anchor_lays_an_instant_on_the_calendar() -> None:
    anchor = ClockAnchor(monotonic_ns=5 * SECOND, unix_ns=1_700_000_000 * SECOND)
    assert anchor.unix_s(7 * SECOND) == 1_700_000_002.0
    assert anchor.unix_s(4 * SECOND) == 1_699_999_999.0

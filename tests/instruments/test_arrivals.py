"""When requests are due, how long anything may take, and what time it is."""

from __future__ import annotations

import asyncio
from itertools import islice, pairwise

import pytest

from instruments.arrivals import ClosedLoop, Constant
from instruments.clock import ClockAnchor, ManualClock, SystemClock
from instruments.limits import RunLimits
from tests.instruments.shapes import SECOND


def test_the_millionth_arrival_at_three_a_second_carries_no_sum_of_errors() -> None:
    due = list(islice(Constant(3.0).due_ns(), 1_000_001))
    assert due[:4] == [0, 333_333_333, 666_666_667, 1_000_000_000]
    assert due[1_000_000] == 333_333_333_333_333  # 10^15 / 3, rounded
    assert due[999_999] == 333_333 * SECOND
    assert all(later - earlier in (333_333_333, 333_333_334) for earlier, later in pairwise(due))


def test_a_slow_rate_has_its_spacing() -> None:
    assert list(islice(Constant(0.25).due_ns(), 3)) == [0, 4 * SECOND, 8 * SECOND]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="rate_per_s"):
        Constant(rate)


@pytest.mark.parametrize(("users", "think_s"), [(0, 0.0), (-1, 0.0), (1, -0.1)])
def test_a_closed_loop_has_a_user_and_no_negative_time_to_think(users: int, think_s: float) -> None:
    with pytest.raises(ValueError, match="users"):
        ClosedLoop(users, think_s)


@pytest.mark.parametrize(
    ("elapsed_s", "failures", "reason"),
    [
        (0.0, 0, None),
        (9.999, 2, None),
        (10.0, 0, "the run's time bound of 10 s was reached"),
        (0.0, 3, "3 requests in a row failed"),
    ],
)
def test_a_run_is_bounded_in_time_and_in_failures(
    elapsed_s: float, failures: int, reason: str | None
) -> None:
    assert RunLimits(duration_s=10, consecutive_failures=3).broken_by(elapsed_s, failures) == reason


async def test_sleepers_on_a_manual_clock_wake_in_the_order_of_their_instants() -> None:
    clock, woken = ManualClock(5), []

    async def sleeper(name: str, *instants: int) -> None:
        for instant in instants:
            await clock.sleep_until(instant)
            woken.append((name, clock.now_ns()))

    await asyncio.gather(sleeper("a", 100, 130), sleeper("b", 40, 50, 120), sleeper("c", 3))
    assert woken == [("c", 5), ("b", 40), ("b", 50), ("a", 100), ("b", 120), ("a", 130)]


async def test_a_sleeper_that_was_cancelled_does_not_move_a_manual_clock() -> None:
    clock = ManualClock()
    gone = asyncio.create_task(clock.sleep_until(10))
    await asyncio.sleep(0)
    gone.cancel()
    await clock.sleep_until(50)
    assert clock.now_ns() == 50
    assert gone.cancelled()


async def test_the_systems_clock_never_wakes_a_sleeper_early() -> None:
    clock = SystemClock()
    for delay_ns in range(0, 2_000_000, 100_003):
        instant_ns = clock.now_ns() + delay_ns
        await clock.sleep_until(instant_ns)
        assert clock.now_ns() >= instant_ns


async def test_sleeping_until_the_past_lets_others_go_on() -> None:
    went_on = asyncio.create_task(asyncio.sleep(0))
    for _ in range(3):
        await SystemClock().sleep_until(0)
    assert went_on.done()


def test_an_anchor_lays_an_instant_on_the_calendar() -> None:
    anchor = ClockAnchor(monotonic_ns=5 * SECOND, unix_ns=1_700_000_000 * SECOND)
    assert anchor.unix_s(7 * SECOND) == 1_700_000_002.0
    assert anchor.unix_s(4 * SECOND) == 1_699_999_999.0

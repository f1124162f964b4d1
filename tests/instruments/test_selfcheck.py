"""The client watches itself: a loop that stood still weighs as much as it stood."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest

from instruments import selfcheck
from instruments.loop import ManualLoop, SocketLoop
from instruments.records import ClientCheck
from instruments.selfcheck import PROBE_EVERY_NS, InFlight, SelfCheck


@pytest.fixture
def loop() -> Iterator[SocketLoop]:
    one = SocketLoop()
    yield one
    one.close()


def turn_for(loop: SocketLoop, seconds: float) -> None:
    over: list[bool] = []
    loop.at(loop.now_ns() + round(seconds * 1e9), lambda: over.append(True))
    loop.run(lambda: bool(over))


def result(check: SelfCheck) -> ClientCheck:
    seen = check.result("kernel", 3, 0)
    assert seen is not None
    return seen


def test_a_check_that_never_ran_has_no_result(loop: SocketLoop) -> None:
    check = SelfCheck(loop)
    with check:
        pass
    assert check.result("none", 0, 0) is None


def test_a_loop_that_stood_still_is_late_for_all_of_that_time(
    loop: SocketLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second of calm and a tenth of standstill: one late wake-up, but a sixth of the probes.

    Counted once, it would be one of some hundreds, and the p99 would leave it out.
    """
    monkeypatch.setattr(selfcheck, "PROBE_EVERY_NS", 1_000_000)
    check = SelfCheck(loop)
    with check:
        turn_for(loop, 0.5)
        loop.at(loop.now_ns(), lambda: time.sleep(0.1))  # the standstill
        turn_for(loop, 0.12)
    seen = result(check)
    assert 0.09 <= seen.loop_lag_p99_s <= seen.loop_lag_max_s
    assert seen.loop_lag_max_s >= 0.095
    assert (seen.stamps, seen.connections_made, seen.processes) == ("kernel", 3, 1)
    assert seen.peak_memory_bytes > 1_000_000


def test_the_share_of_the_processor_is_that_of_this_process(loop: SocketLoop) -> None:
    check = SelfCheck(loop)
    with check:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        turn_for(loop, 3 * PROBE_EVERY_NS / 1e9)
    assert 0 < result(check).cpu_share <= 1.5


def test_nothing_is_collected_meanwhile_and_nothing_of_the_watch_remains(loop: SocketLoop) -> None:
    callbacks = list(gc.callbacks)
    check = SelfCheck(loop)
    with check:
        assert not gc.isenabled()
        gc.collect()  # what somebody else does is timed
        turn_for(loop, 3 * PROBE_EVERY_NS / 1e9)
    assert gc.isenabled()
    assert gc.callbacks == callbacks
    assert gc.get_freeze_count() == 0
    assert result(check).gc_pause_max_s > 0


def test_requests_in_flight_are_the_area_under_their_count() -> None:
    """Two requests, 0 to 4 s and 1 to 3 s: 1·1 + 2·2 + 1·1 = 6 request-seconds in 4 s."""
    flight = InFlight()
    assert (flight.mean(), flight.littles_ratio()) == (None, None)
    for now_s, by in ((0, 1), (1, 1), (3, -1), (4, -1)):
        flight.change(now_s * 10**9, by)
    flight.stayed_ns = 6 * 10**9
    assert flight.mean() == 1.5
    assert flight.littles_ratio() == 1.0
    flight.stayed_ns = 5 * 10**9  # the records say less than was seen: the client was late to see it
    assert flight.littles_ratio() == 1.2


def test_a_check_counts_what_the_engine_tells_it() -> None:
    loop = ManualLoop()
    check = SelfCheck(loop)
    with check:
        check.in_flight(0, 1)
        loop.at(2 * PROBE_EVERY_NS, lambda: None)
        loop.run(lambda: loop.now_ns() >= 2 * PROBE_EVERY_NS)
        check.in_flight(10_000_000, -1)
        check.answered(8_000_000)
    seen = result(check)
    assert seen.in_flight_mean == 1.0
    assert seen.littles_ratio == 1.25
    assert seen.littles_excess_s == 0.002  # ten milliseconds counted, eight on record
    assert seen.loop_lag_max_s == 0.0

"""The client watches itself: a loop that stood still weighs as much as it stood."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from instruments import selfcheck
from instruments.selfcheck import PROBE_EVERY_S, SelfCheck


async def test_a_check_that_never_ran_has_no_result() -> None:
    assert SelfCheck().result() is None
    async with SelfCheck() as check:
        pass
    assert check.result() is None


async def test_a_loop_that_stood_still_is_late_for_all_of_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of calm and a tenth of standstill: one late wake-up, but a sixth of the probes.

    Counted once, it would be one of some hundreds, and the p99 would leave it out.
    """
    monkeypatch.setattr(selfcheck, "PROBE_EVERY_S", 0.001)
    async with SelfCheck() as check:
        await asyncio.sleep(0.5)
        time.sleep(0.1)  # noqa: ASYNC251 - the standstill
        await asyncio.sleep(0.01)
    seen = check.result()
    assert seen is not None
    assert 0.09 <= seen.loop_lag_p99_s <= seen.loop_lag_max_s
    assert seen.loop_lag_max_s >= 0.095


async def test_the_share_of_the_processor_is_that_of_this_process() -> None:
    async with SelfCheck() as check:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        await asyncio.sleep(2 * PROBE_EVERY_S)
    seen = check.result()
    assert seen is not None
    assert 0 < seen.cpu_share <= 1.5


async def test_collections_are_timed_and_nothing_of_the_watch_remains() -> None:
    callbacks = list(gc.callbacks)
    async with SelfCheck() as check:
        assert len(gc.callbacks) == len(callbacks) + 1
        gc.collect()
        await asyncio.sleep(3 * PROBE_EVERY_S)
    assert gc.callbacks == callbacks
    assert gc.get_freeze_count() == 0
    seen = check.result()
    assert seen is not None
    assert seen.gc_pause_max_s > 0

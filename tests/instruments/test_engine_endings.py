"""However a run ends, every planned request has a record and the journal says how it ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from instruments.arrivals import ArrivalProcess, ClosedLoop, Constant
from instruments.clock import ClockAnchor, ManualClock
from instruments.engine import LoadEngine, LoadPlan
from instruments.errors import JournalError
from instruments.journal import Journal, load_run
from instruments.limits import RunLimits
from instruments.records import LoadRun, Outcome, Phase, Request, RequestRecord
from tests.instruments.scripted import Reply, Scripted
from tests.instruments.shapes import request

BOTH_LOOPS = pytest.mark.parametrize("arrivals", [ClosedLoop(2), Constant(1.0)], ids=["closed", "open"])
BAD = [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.TRUNCATED, Outcome.REFUSED]
Observe = Callable[[RequestRecord], None]


class Stage:
    """One engine over one scripted transport and one journal."""

    def __init__(self, folder: Path, script: Callable[[Request], Reply] | None = None) -> None:
        self.clock = ManualClock()
        self.transport = Scripted(self.clock, script)
        self.path = folder / "a.jsonl"

    async def play(
        self,
        arrivals: ArrivalProcess,
        count: int,
        *,
        limit: int = 5,
        warm: int = 0,
        observe: Observe | None = None,
    ) -> LoadRun:
        requests = [request(i, phase=Phase.WARMUP if i < warm else Phase.MEASURED) for i in range(count)]
        plan = LoadPlan("a-run", requests, arrivals, RunLimits(1e6, limit), {"seed": 1})
        with Journal(self.path, "a-run", plan.description, ClockAnchor(0, 0)) as self.journal:
            engine = LoadEngine(self.transport, self.journal, clock=self.clock, observe=observe)
            async with asyncio.timeout(20):  # a run that never ends is a failure, not a wait
                return await engine.run(plan, ClockAnchor(0, 0))


@BOTH_LOOPS
async def test_a_run_that_ends_well_is_complete_in_memory_and_on_disk(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    stage = Stage(tmp_path)
    run = await stage.play(arrivals, 7, warm=2)
    assert run.complete
    assert stage.transport.closed
    read = load_run(stage.path)
    assert (read.records, read.window, read.complete) == (run.records, run.window, True)


@BOTH_LOOPS
@pytest.mark.parametrize("outcome", BAD)
async def test_failures_in_a_row_stop_the_run_and_the_rest_has_records_too(
    tmp_path: Path, arrivals: ArrivalProcess, outcome: Outcome
) -> None:
    stage = Stage(tmp_path, lambda asked: Reply() if asked.index < 4 else Reply(outcome, seconds=0.25))
    run = await stage.play(arrivals, 50)
    assert [one.index for one in run.records] == list(range(50))
    outcomes = [one.outcome for one in run.records]
    sent = len(stage.transport.sent)
    assert outcomes == [Outcome.COMPLETED] * 4 + [outcome] * (sent - 4) + [Outcome.NOT_SENT] * (50 - sent)
    assert 9 <= sent <= 10  # the other user may have had one in flight
    assert run.records[-1].error == run.stopped_because == "5 requests in a row failed"
    assert not run.complete
    assert load_run(stage.path).records == run.records


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.RATE_LIMITED, Outcome.CANCELLED])
async def test_an_answer_between_failures_begins_the_row_anew(tmp_path: Path, outcome: Outcome) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(outcome if asked.index % 5 == 4 else Outcome.FAILED))
    run = await stage.play(ClosedLoop(1), 40)
    assert run.complete
    assert len(stage.transport.sent) == 40


async def test_a_run_that_fails_while_warming_up_measures_nothing_and_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _asked: Reply(Outcome.FAILED))
    run = await stage.play(ClosedLoop(1), 10, warm=8)
    assert [one.outcome for one in run.records] == [Outcome.FAILED] * 5 + [Outcome.NOT_SENT] * 5
    assert not run.complete


@BOTH_LOOPS
async def test_a_cancelled_run_keeps_what_was_in_flight_and_closes_its_journal(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(seconds=None if asked.index in (1, 2) else 1.0))
    running = asyncio.create_task(stage.play(arrivals, 10))
    async with asyncio.timeout(5):
        while len(stage.transport.sent) < 3:
            await stage.transport.stuck.wait()
            await asyncio.sleep(0)
    sent = len(stage.transport.sent)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(stage.transport.sent) == sent < 10  # nobody went on with the next request
    read = load_run(stage.path)
    assert [one.index for one in read.records] == list(range(sent))
    assert [one.outcome for one in read.records[:3]] == [Outcome.COMPLETED, *[Outcome.CANCELLED] * 2]
    assert (read.stopped_because, read.complete, read.problems) == ("the run was interrupted", False, ())
    assert stage.transport.closed


async def test_a_run_cancelled_while_connecting_closes_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, opening = Stage(tmp_path), asyncio.Event()

    async def never(_connections: int) -> None:
        opening.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(stage.transport, "open", never)
    running = asyncio.create_task(stage.play(ClosedLoop(1), 3))
    await opening.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert load_run(stage.path).stopped_because == "the run was interrupted"
    assert stage.transport.closed


@BOTH_LOOPS
async def test_a_disk_that_fills_up_stops_everything_with_a_journal_error(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(seconds=None) if asked.index == 1 else Reply())

    def fill_the_disk(record: RequestRecord) -> None:
        if record.index == 3:
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, stage.journal._file.fileno())
            os.close(full)

    with pytest.raises(JournalError, match="cannot write the journal") as caught:
        await stage.play(arrivals, 100, observe=fill_the_disk)
    assert caught.value.seen == "No space left on device"
    assert len(stage.transport.sent) < 10
    assert sum(stage.transport.in_flight.values()) == 0
    assert stage.transport.closed
    read = load_run(stage.path)
    assert [one.index for one in read.records] == [0, 2, 3]
    assert not read.complete


@BOTH_LOOPS
async def test_a_programming_mistake_comes_out_as_itself(tmp_path: Path, arrivals: ArrivalProcess) -> None:
    stage = Stage(
        tmp_path, lambda asked: Reply(error=ZeroDivisionError("oops")) if asked.index == 2 else Reply()
    )
    with pytest.raises(ZeroDivisionError, match="oops"):
        await stage.play(arrivals, 10)
    assert stage.transport.closed


async def test_each_record_is_observed_once_and_after_it_was_written(tmp_path: Path) -> None:
    stage, seen = Stage(tmp_path), []

    def observe(record: RequestRecord) -> None:
        seen.append(record.index)
        assert len(load_run(stage.path).records) == len(seen)

    await stage.play(ClosedLoop(2), 6, observe=observe)
    assert sorted(seen) == list(range(6))


async def test_a_plan_without_requests_has_no_records(tmp_path: Path) -> None:
    run = await Stage(tmp_path).play(ClosedLoop(2), 0)
    assert (run.records, run.complete) == ((), True)

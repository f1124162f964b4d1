"""However a run ends, every planned request has a record and the journal says how it ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from instruments import engine
from instruments.arrivals import ArrivalProcess, ClosedLoop, Constant
from instruments.clock import ClockAnchor
from instruments.engine import INTERRUPTED, LoadEngine
from instruments.errors import JournalError
from instruments.journal import Journal, load_run
from instruments.limits import RunLimits
from instruments.loop import ManualLoop
from instruments.plan import LoadPlan
from instruments.records import LoadRun, Outcome, Phase, Request, RequestRecord
from tests.instruments.scripted import Reply, Scripted
from tests.instruments.shapes import request

BOTH_LOOPS = pytest.mark.parametrize("arrivals", [ClosedLoop(2), Constant(1.0)], ids=["closed", "open"])
BAD = [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.TRUNCATED, Outcome.REFUSED]
Observe = Callable[[RequestRecord], None]


class Stage:
    """One engine over one scripted transport and one journal."""

    def __init__(self, folder: Path, script: Callable[[Request], Reply] | None = None) -> None:
        self.loop = ManualLoop()
        self.transport = Scripted(self.loop, script)
        self.path = folder / "a.jsonl"

    def play(
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
            self.engine = LoadEngine(self.transport, self.journal, self.loop, observe=observe)
            return self.engine.run(plan, ClockAnchor(0, 0))


@BOTH_LOOPS
def test_a_run_that_ends_well_is_complete_in_memory_and_on_disk(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    stage = Stage(tmp_path)
    run = stage.play(arrivals, 7, warm=2)
    assert run.complete
    assert stage.transport.closed
    read = load_run(stage.path)
    assert (read.records, read.window, read.complete) == (run.records, run.window, True)


@BOTH_LOOPS
@pytest.mark.parametrize("outcome", BAD)
def test_failures_in_a_row_stop_the_run_and_the_rest_has_records_too(
    tmp_path: Path, arrivals: ArrivalProcess, outcome: Outcome
) -> None:
    stage = Stage(tmp_path, lambda asked: Reply() if asked.index < 4 else Reply(outcome, seconds=0.25))
    run = stage.play(arrivals, 50)
    assert [one.index for one in run.records] == list(range(50))
    outcomes = [one.outcome for one in run.records]
    sent = len(stage.transport.sent)
    assert outcomes == [Outcome.COMPLETED] * 4 + [outcome] * (sent - 4) + [Outcome.NOT_SENT] * (50 - sent)
    assert 9 <= sent <= 10  # the other user may have had one in flight
    assert run.records[-1].error == run.stopped_because == "5 requests in a row failed"
    assert not run.complete
    assert load_run(stage.path).records == run.records


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.RATE_LIMITED, Outcome.CANCELLED])
def test_an_answer_between_failures_begins_the_row_anew(tmp_path: Path, outcome: Outcome) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(outcome if asked.index % 5 == 4 else Outcome.FAILED))
    run = stage.play(ClosedLoop(1), 40)
    assert run.complete
    assert len(stage.transport.sent) == 40


def test_a_run_that_fails_while_warming_up_measures_nothing_and_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _asked: Reply(Outcome.FAILED))
    run = stage.play(ClosedLoop(1), 10, warm=8)
    assert [one.outcome for one in run.records] == [Outcome.FAILED] * 5 + [Outcome.NOT_SENT] * 5
    assert not run.complete


@BOTH_LOOPS
@pytest.mark.parametrize("raised", [True, False], ids=["Ctrl-C", "told to stop"])
def test_an_interrupted_run_keeps_what_was_in_flight_and_what_was_never_sent(
    tmp_path: Path, arrivals: ArrivalProcess, raised: bool
) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(seconds=None if asked.index in (1, 2) else 1.0))

    def interrupt() -> None:
        if raised:
            raise KeyboardInterrupt
        stage.engine.stop(INTERRUPTED, at_once=True)

    stage.loop.at(2_500_000_000, interrupt)
    if raised:
        with pytest.raises(KeyboardInterrupt):
            stage.play(arrivals, 10)
    else:
        assert stage.play(arrivals, 10).stopped_because == "the run was interrupted"
    read = load_run(stage.path)
    assert [one.index for one in read.records] == list(range(10))
    # Closed: user 0 asked 0 until 1, then 2 for ever; user 1 asked 1. Open: 0, 1 and 2, one a second.
    assert [one.outcome for one in read.records[:3]] == [Outcome.COMPLETED, *[Outcome.CANCELLED] * 2]
    assert {one.outcome for one in read.records[3:]} == {Outcome.NOT_SENT}
    assert stage.transport.sent == [0, 1, 2]
    assert (read.stopped_because, read.complete, read.problems) == ("the run was interrupted", False, ())
    assert stage.transport.closed


def test_a_run_interrupted_while_connecting_closes_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)

    def interrupted(_connections: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage.transport, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.play(ClosedLoop(1), 3)
    assert load_run(stage.path).stopped_because == "the run was interrupted"
    assert stage.transport.closed


@BOTH_LOOPS
def test_a_disk_that_fills_up_stops_everything_with_a_journal_error(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(seconds=None) if asked.index == 1 else Reply())

    def fill_the_disk(record: RequestRecord) -> None:
        if record.index == 3:
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, stage.journal._file.fileno())
            os.close(full)

    with pytest.raises(JournalError, match="cannot write the journal") as caught:
        stage.play(arrivals, 100, observe=fill_the_disk)
    assert caught.value.seen == "No space left on device"
    assert len(stage.transport.sent) < 10
    assert stage.transport.closed
    read = load_run(stage.path)
    assert [one.index for one in read.records] == [0, 2, 3]
    assert not read.complete


@BOTH_LOOPS
def test_a_programming_mistake_comes_out_as_itself(tmp_path: Path, arrivals: ArrivalProcess) -> None:
    stage = Stage(
        tmp_path, lambda asked: Reply(error=ZeroDivisionError("oops")) if asked.index == 2 else Reply()
    )
    with pytest.raises(ZeroDivisionError, match="oops"):
        stage.play(arrivals, 10)
    assert stage.transport.closed
    read = load_run(stage.path)
    assert (read.complete, read.stopped_because) == (False, "ZeroDivisionError ended the run")


def test_good_answers_that_wait_to_be_read_break_a_row_of_failures(tmp_path: Path) -> None:
    """A burst, every second one refused: never more than one failure in a row."""
    stage = Stage(
        tmp_path, lambda asked: Reply(Outcome.REFUSED if asked.index % 2 else Outcome.COMPLETED, seconds=0.5)
    )
    run = stage.play(Constant(1e9), 60, limit=3)
    assert (run.complete, len(stage.transport.sent)) == (True, 60)


def test_a_long_plan_that_is_stopped_is_told_for_a_while_and_then_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "TELLING_NS", 0)
    monkeypatch.setattr(engine, "TOLD_AT_ONCE", 7)
    stage = Stage(tmp_path, lambda _asked: Reply(Outcome.FAILED))
    run = stage.play(ClosedLoop(1), 100, limit=2)
    assert [one.outcome for one in run.records] == [Outcome.FAILED] * 2 + [Outcome.NOT_SENT] * 7
    assert run.stopped_because == "2 requests in a row failed; the rest of the plan has no records"


def test_each_record_is_observed_once_and_after_it_was_written(tmp_path: Path) -> None:
    stage, seen = Stage(tmp_path), []

    def observe(record: RequestRecord) -> None:
        seen.append(record.index)
        assert len(load_run(stage.path).records) == len(seen)

    stage.play(ClosedLoop(2), 6, observe=observe)
    assert sorted(seen) == list(range(6))


def test_a_plan_without_requests_has_no_records(tmp_path: Path) -> None:
    run = Stage(tmp_path).play(ClosedLoop(2), 0)
    assert (run.records, run.complete) == ((), True)

"""An engine that is told "enough": what is in flight ends and is recorded, the rest never was due."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instruments.arrivals import ArrivalProcess, ClosedLoop, Constant
from instruments.clock import ClockAnchor
from instruments.engine import INTERRUPTED, LoadEngine
from instruments.journal import Journal, load_run
from instruments.limits import RunLimits
from instruments.loop import ManualLoop
from instruments.plan import LoadPlan
from instruments.records import LoadRun, Outcome, Phase, Request
from instruments.workloads.conversations import chained
from tests.instruments.scripted import Reply, Scripted
from tests.instruments.shapes import SECOND, request

BOTH_LOOPS = pytest.mark.parametrize("arrivals", [ClosedLoop(2), Constant(1.0)], ids=["closed", "open"])
NO_LIMITS = RunLimits(duration_s=1e6, consecutive_failures=5)
OPEN = {"sampling": {"looks": "open", "requests_most": 50}}


def enough(engine: LoadEngine) -> None:
    engine.enough(4)


class Stage:
    """One engine over a scripted transport; `at` does something to it at a second of the run."""

    def __init__(self, folder: Path, script: Callable[[Request], Reply] | None = None) -> None:
        self.loop = ManualLoop()
        self.transport = Scripted(self.loop, script)
        self.path = folder / "a.jsonl"
        self.engine: LoadEngine

    def at(self, seconds: float, act: Callable[[LoadEngine], None]) -> None:
        self.loop.at(round(seconds * SECOND), lambda: act(self.engine))

    def play(
        self,
        arrivals: ArrivalProcess,
        requests: list[Request],
        limits: RunLimits = NO_LIMITS,
        description: dict[str, Any] = OPEN,
        fewest: int | None = None,
    ) -> LoadRun:
        plan = LoadPlan("a-run", requests, arrivals, limits, description, fewest=fewest)
        with Journal(self.path, "a-run", description, ClockAnchor(0, 0)) as journal:
            self.engine = LoadEngine(self.transport, journal, self.loop)
            return self.engine.run(plan, ClockAnchor(0, 0))


def fifty() -> list[Request]:
    return [request(i) for i in range(50)]


@BOTH_LOOPS
def test_what_is_in_flight_ends_and_the_rest_has_no_record(tmp_path: Path, arrivals: ArrivalProcess) -> None:
    """Request 3 takes 30 s. Closed: user 1 asked 1 at 0 and 3 at 1, user 0 asked 0, 2 and then 4 to 7 until
    6. Open: one a second, 0 to 5."""
    stage = Stage(tmp_path, lambda asked: Reply(seconds=30.0 if asked.index == 3 else 1.0))
    stage.at(5.5, enough)
    run = stage.play(arrivals, fifty())
    sent = 8 if isinstance(arrivals, ClosedLoop) else 6
    assert [one.index for one in run.records] == list(range(sent)) == sorted(stage.transport.sent)
    assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
    slow = run.records[3]
    ended = 31 if isinstance(arrivals, ClosedLoop) else 33
    assert (slow.phase, slow.done_ns) == (Phase.MEASURED, ended * SECOND)
    assert run.window is not None
    assert (run.window.start_ns, run.window.end_ns) == (0, ended * SECOND)
    assert (run.complete, run.stopped_because) == (True, None)
    assert run.description["sampling"] == {
        "looks": "open",
        "requests_most": 50,
        "decided": True,
        "decided_at": 4,
    }
    read = load_run(stage.path)
    assert (read.records, read.window, read.complete) == (run.records, run.window, True)
    assert read.description == run.description


@BOTH_LOOPS
def test_a_run_that_is_told_so_when_all_was_sent_was_not_cut_short(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    stage = Stage(tmp_path, lambda _asked: Reply(seconds=10.0))
    stage.at(5.0, enough)
    run = stage.play(arrivals, fifty()[:2])
    assert [one.index for one in run.records] == [0, 1]
    assert run.complete
    assert run.description["sampling"]["decided"] is False
    assert load_run(stage.path).description["sampling"]["decided"] is False


def test_a_begun_conversation_ends_with_the_turn_that_is_in_flight(tmp_path: Path) -> None:
    """At 1.5 s both users have had the answer to their first turn and wait for that to their second."""
    said = {"messages": [{"role": "user", "content": "why?"}]}
    talks = [chained([replace(request(3 * n + turn), body=said) for turn in range(3)]) for n in range(2)]
    stage = Stage(tmp_path, lambda _asked: Reply(seconds=1.0, text="yes"))
    stage.at(1.5, enough)
    run = stage.play(ClosedLoop(2), talks)
    assert [(one.index, one.outcome) for one in run.records] == [
        (index, Outcome.COMPLETED) for index in (0, 1, 3, 4)
    ]
    assert run.complete
    assert run.description["sampling"]["decided"] is True, "turns 2 and 5 were planned and not wanted"


@BOTH_LOOPS
def test_a_conversation_that_fails_after_it_drops_its_later_turns_like_any_other(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    """Until 1.5 s the first turns of talks 0 and 1 were sent; after it the first of 1 fails."""
    talks = [chained([request(3 * n + turn) for turn in range(3)]) for n in range(2)]
    failing = Reply(Outcome.FAILED, seconds=5.0)
    stage = Stage(tmp_path, lambda asked: failing if asked.index == 3 else Reply(seconds=5.0))
    stage.at(1.5, enough)
    run = stage.play(arrivals, talks)
    assert [(one.index, one.outcome) for one in run.records] == [
        (0, Outcome.COMPLETED),
        (3, Outcome.FAILED),
    ]
    assert run.complete


def test_a_user_who_thinks_asks_nothing_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(2.0, enough)
    run = stage.play(ClosedLoop(1, think_s=10.0), fifty())
    assert [one.index for one in run.records] == [0]
    assert stage.loop.now_ns() == 2 * SECOND, "nobody waited for the end of the thought"
    assert run.complete


def test_failures_of_what_was_in_flight_do_not_stop_what_has_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _asked: Reply(Outcome.FAILED, seconds=10.0))
    stage.at(5.5, enough)
    run = stage.play(Constant(1.0), fifty())
    assert [one.outcome for one in run.records] == [Outcome.FAILED] * 6
    assert (run.complete, run.stopped_because) == (True, None)


def test_the_time_bound_has_nothing_to_stop_after_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _asked: Reply(seconds=10.0))
    stage.at(2.5, enough)
    run = stage.play(Constant(1.0), fifty(), RunLimits(duration_s=5.0))
    assert (len(run.records), run.complete) == (3, True)


def test_an_interrupt_after_it_leaves_at_once_and_tells_of_no_more_than_was_due(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(seconds=None if asked.index == 1 else 1.0))
    stage.at(2.5, enough)
    stage.at(4.0, lambda engine: engine.stop(INTERRUPTED, at_once=True))
    run = stage.play(Constant(1.0), fifty())
    assert [one.outcome for one in run.records] == [
        Outcome.COMPLETED,
        Outcome.CANCELLED,
        Outcome.COMPLETED,
    ]
    assert (run.complete, run.stopped_because) == (False, "the run was interrupted")


def test_after_a_stop_it_changes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _asked: Reply(seconds=3.0))
    stage.at(1.5, lambda engine: engine.stop("the disk is full"))
    stage.at(2.0, enough)
    run = stage.play(Constant(1.0), fifty())
    assert len(run.records) == 50
    assert (run.stopped_because, run.description["sampling"]["decided"]) == ("the disk is full", False)


def test_a_journal_without_sampling_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And so is one of an earlier release, whose last line does not say whether it was decided."""
    stage = Stage(tmp_path)
    stage.play(ClosedLoop(1), fifty()[:2], description={"seed": 1})
    assert load_run(stage.path).description == {"seed": 1}
    *lines, last = stage.path.read_text().splitlines()
    end = json.loads(last)
    assert end.pop("decided_at", "absent") is None
    stage.path.write_text("\n".join([*lines, json.dumps(end)]) + "\n")
    read = load_run(stage.path)
    assert (read.description, read.complete, read.problems) == ({"seed": 1}, True, ())

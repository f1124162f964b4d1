"""A budget that is stopped: what was never sent is told as far as it was owed, and the rest is no failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from instruments.arrivals import ArrivalProcess, Burst, ClosedLoop, Constant
from instruments.engine import INTERRUPTED
from instruments.journal import load_run
from instruments.limits import RunLimits
from instruments.plan import LoadPlan, Share
from instruments.records import LoadRun, Outcome, Phase, Request
from instruments.slo import ServiceLevelObjective, State, evaluate
from instruments.statistics import summarize
from tests.instruments.scripted import Reply
from tests.instruments.shapes import request
from tests.instruments.test_until_engine import Stage

P95 = ServiceLevelObjective("o", "d", "w", "e2e_s", "p95", at_most=3.0)
BUDGET = {"sampling": {"looks": "open", "requests_fewest": 100, "requests_most": 600}}


def planned(count: int, warm: int = 0) -> list[Request]:
    return [request(i, phase=Phase.WARMUP if i < warm else Phase.MEASURED) for i in range(count)]


def talks(count: int, turns: int) -> list[Request]:
    """Conversations, their requests numbered in the order of the plan."""
    said = {"messages": [{"role": "user", "content": "why?"}]}
    made = []
    for n in range(count):
        following = None
        for turn in reversed(range(turns)):
            following = replace(request(n * turns + turn), body=said, turn=turn, then=following)
        assert following is not None
        made.append(following)
    return made


def unsent(run: LoadRun) -> list[int]:
    return [one.index for one in run.records if one.outcome is Outcome.NOT_SENT]


def every_fortieth_is_late(asked: Request) -> Reply:
    return Reply(seconds=4.0 if asked.index % 40 == 39 else 1.0)


@pytest.mark.parametrize("arrivals", [ClosedLoop(1), Constant(1.0)], ids=["closed", "open"])
def test_the_rest_of_a_budget_is_no_evidence_against_a_server(
    tmp_path: Path, arrivals: ArrivalProcess
) -> None:
    """200 answered, 5 of them late: 2.5 %, and 400 left. Closed: one user needs 195 · 1 s + 5 · 4 s = 215 s
    for them. Open: 200 were due before 199.5 s."""
    bound_s = 214.5 if isinstance(arrivals, ClosedLoop) else 199.5
    stage = Stage(tmp_path, every_fortieth_is_late)
    run = stage.play(arrivals, planned(600), RunLimits(duration_s=bound_s), BUDGET, fewest=100)
    assert Counter(one.outcome for one in run.records) == {Outcome.COMPLETED: 200}
    assert (run.complete, run.stopped_because) == (
        False,
        f"the run's time bound of {bound_s:g} s was reached",
    )
    verdict = evaluate(summarize(run), P95)
    assert verdict.state is State.INCONCLUSIVE, verdict


def test_a_planned_run_tells_of_all_that_was_planned(tmp_path: Path) -> None:
    stage = Stage(tmp_path, every_fortieth_is_late)
    run = stage.play(ClosedLoop(1), planned(600), RunLimits(duration_s=214.5), {})
    assert unsent(run) == list(range(200, 600))
    assert evaluate(summarize(run), P95).state is State.VIOLATED


def test_of_a_closed_loop_the_fewest_are_owed(tmp_path: Path) -> None:
    """3 to warm up and 10 measured are 0 to 12; one user was at the seventh at 6.5 s."""
    stage = Stage(tmp_path)
    run = stage.play(ClosedLoop(1), planned(50, warm=3), RunLimits(duration_s=6.5), BUDGET, fewest=10)
    assert unsent(run) == list(range(7, 13))
    assert [one.index for one in run.records] == list(range(13))


def test_failures_in_a_row_leave_the_fewest_unsent(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda _asked: Reply(Outcome.FAILED))
    limits = RunLimits(duration_s=1e6, consecutive_failures=5)
    run = stage.play(ClosedLoop(1), planned(50), limits, BUDGET, fewest=20)
    assert [one.outcome for one in run.records] == [Outcome.FAILED] * 5 + [Outcome.NOT_SENT] * 15


def test_of_an_open_loop_what_was_due_by_the_stop_is_owed(tmp_path: Path) -> None:
    """Ten at once every 10 s. Of the first, all wait for answers when the second comes: of that the 15th of
    all is one more than 14 in flight, and the five after it are due and not sent. Second turns never were
    due: whoever asks them has no answer to the first yet."""
    stage = Stage(tmp_path, lambda _asked: Reply(seconds=60.0))
    limits = RunLimits(duration_s=1e6, in_flight=14)
    run = stage.play(Burst(10, 10.0), talks(50, turns=2), limits, BUDGET, fewest=30)
    assert sorted(stage.transport.sent) == list(range(0, 30, 2))
    assert unsent(run) == list(range(30, 40, 2))
    assert {one.due_ns for one in run.records[10:]} == {10 * 10**9}


def test_turns_of_the_rest_are_not_owed_either(tmp_path: Path) -> None:
    """Three turns each, 2 s of thought between; the fewest is one talk. At 0.5 s three first turns wait for
    answers, which come at 1 s: of talk 0 turns 1 and 2 are told, of 1 and 2 nothing more."""
    stage = Stage(tmp_path)
    stage.at(0.5, lambda engine: engine.stop("enough of it"))
    run = stage.play(ClosedLoop(3), talks(9, turns=3), description=BUDGET, fewest=1)
    assert (unsent(run), stage.transport.sent) == ([1, 2], [0, 3, 6])


def test_turns_of_the_rest_that_wait_for_a_user_to_think_are_not_owed(tmp_path: Path) -> None:
    """All three users have had their first answers at 1 s and think for 2 s."""
    thoughtful = [
        replace(one, then=replace(one.then, think_s=2.0)) for one in talks(9, turns=2) if one.then is not None
    ]
    for arrivals, owed in ((ClosedLoop(3), [1]), (Burst(3, 60.0), [])):
        stage = Stage(tmp_path)
        stage.at(1.5, lambda engine: engine.stop("enough of it"))
        run = stage.play(arrivals, thoughtful, description=BUDGET, fewest=1)
        assert (unsent(run), stage.transport.sent) == (owed, [0, 2, 4]), arrivals


def test_a_conversation_of_a_budget_that_fails_while_the_run_goes_is_told_whole(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda asked: Reply(Outcome.FAILED if asked.index == 6 else Outcome.COMPLETED))
    run = stage.play(ClosedLoop(1), talks(4, turns=3), description=BUDGET, fewest=1)
    assert (unsent(run), run.complete) == ([7, 8], True)


@pytest.mark.parametrize(
    ("arrivals", "owed"), [(ClosedLoop(2), 5), (Constant(1e9), 0)], ids=["closed", "open"]
)
def test_of_an_open_loop_that_never_began_nothing_was_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrivals: ArrivalProcess, owed: int
) -> None:
    stage = Stage(tmp_path)
    stage.loop.at(10**9, lambda: None)
    stage.loop.run(lambda: stage.loop.now_ns() >= 10**9)

    def interrupted(_connections: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage.transport, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.play(arrivals, planned(50), description=BUDGET, fewest=5)
    read = load_run(stage.path)
    assert len(unsent(read)) == len(read.records) == owed
    assert read.stopped_because == INTERRUPTED


@pytest.mark.parametrize("arrivals", [ClosedLoop(3), Constant(1.0)], ids=["closed", "open"])
def test_processes_owe_together_what_one_would(arrivals: ArrivalProcess) -> None:
    shares = [
        LoadPlan("a", planned(30, warm=4), arrivals, share=Share(n, 2), fewest=7).sessions() for n in (0, 1)
    ]
    owed = [one.request.index for part in shares for one in part if not one.spare]
    assert sorted(owed) == list(range(11))

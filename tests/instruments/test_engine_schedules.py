"""When the engine sends: a closed loop waits for answers, an open loop does not. Times in seconds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from instruments.arrivals import ArrivalProcess, ClosedLoop, Constant
from instruments.clock import ClockAnchor
from instruments.engine import LoadEngine
from instruments.journal import Journal
from instruments.limits import RunLimits
from instruments.loop import ManualLoop
from instruments.plan import LoadPlan, Share
from instruments.records import LoadRun, Outcome, Phase, Request, RequestRecord
from tests.instruments.scripted import Reply, Scripted
from tests.instruments.shapes import SECOND, request

NO_LIMITS = RunLimits(duration_s=1e6, consecutive_failures=10**6)


def play(
    folder: Path,
    transport: Scripted,
    loop: ManualLoop,
    arrivals: ArrivalProcess,
    requests: list[Request],
    limits: RunLimits = NO_LIMITS,
    **options: Any,
) -> LoadRun:
    with Journal(folder / "a.jsonl", "a-run", {}, ClockAnchor(0, 0)) as journal:
        engine = LoadEngine(transport, journal, loop)
        return engine.run(LoadPlan("a-run", requests, arrivals, limits, **options), ClockAnchor(0, 0))


def times(records: tuple[RequestRecord, ...]) -> list[tuple[float, float, float]]:
    """(due, sent, done) of each."""
    return [
        (one.due_ns / SECOND, (one.sent_ns or 0) / SECOND, (one.done_ns or 0) / SECOND) for one in records
    ]


def test_a_user_is_due_again_when_answered_and_has_thought(tmp_path: Path) -> None:
    loop = ManualLoop()
    transport = Scripted(loop, lambda asked: Reply(seconds=2.0 if asked.index else 3.0))
    run = play(tmp_path, transport, loop, ClosedLoop(1, think_s=0.5), [request(i) for i in range(3)])
    assert times(run.records) == [(0, 0, 3), (3.5, 3.5, 5.5), (6, 6, 8)]
    assert run.window is not None
    assert run.window.duration_s == 8


def test_users_go_on_by_themselves_and_never_have_two_requests_in_flight(tmp_path: Path) -> None:
    loop = ManualLoop()
    transport = Scripted(loop, lambda asked: Reply(seconds=5.0 if asked.index == 0 else 2.0))
    run = play(tmp_path, transport, loop, ClosedLoop(2), [request(i) for i in range(5)])
    # User 0 is busy with request 0 until 5; user 1 takes 1, 2 and 3 meanwhile.
    assert [(one.user, one.due_ns // SECOND) for one in run.records] == [
        (0, 0),
        (1, 0),
        (1, 2),
        (1, 4),
        (0, 5),
    ]
    assert transport.most_in_flight == {0: 1, 1: 1}
    assert transport.opened == 2


def test_many_users_share_the_requests_and_each_request_is_sent_once(tmp_path: Path) -> None:
    loop = ManualLoop()
    transport = Scripted(loop, lambda asked: Reply(seconds=1 + asked.index % 7 / 10))
    run = play(tmp_path, transport, loop, ClosedLoop(8, think_s=0.1), [request(i) for i in range(100)])
    assert sorted(transport.sent) == list(range(100))
    assert [one.index for one in run.records] == list(range(100))
    assert set(transport.most_in_flight.values()) == {1}
    assert {one.user for one in run.records} == set(range(8))


def test_a_request_that_was_given_up_kept_its_user_until_then(tmp_path: Path) -> None:
    """Its last byte came after a second; the stall was noticed at 30 s. The next is not 29 s late."""
    loop = ManualLoop()
    stalled = Reply(Outcome.TIMED_OUT, seconds=30, last_byte_s=1)
    transport = Scripted(loop, lambda asked: Reply() if asked.index else stalled)
    run = play(tmp_path, transport, loop, ClosedLoop(1, think_s=0.5), [request(0), request(1)])
    assert times(run.records)[1] == (30.5, 30.5, 31.5)


def test_an_open_loop_keeps_its_due_times_though_answers_are_late(tmp_path: Path) -> None:
    loop = ManualLoop()
    transport = Scripted(loop, lambda _asked: Reply(seconds=10))
    run = play(tmp_path, transport, loop, Constant(2.0), [request(i) for i in range(4)])
    assert times(run.records) == [(0, 0, 10), (0.5, 0.5, 10.5), (1, 1, 11), (1.5, 1.5, 11.5)]
    assert transport.most_in_flight[0] == 4
    assert run.window is not None
    assert run.window.duration_s == 11.5


def test_due_times_count_from_the_start_of_the_window(tmp_path: Path) -> None:
    loop = ManualLoop(77 * SECOND)
    warm = [request(0, phase=Phase.WARMUP)]
    run = play(tmp_path, Scripted(loop), loop, Constant(1.0), [*warm, request(1), request(2)])
    assert [one.due_ns // SECOND for one in run.records] == [77, 78, 79]


def test_the_window_opens_with_the_first_measured_request_and_users_do_not_pause(tmp_path: Path) -> None:
    loop = ManualLoop()
    phases = [Phase.WARMUP] * 3 + [Phase.MEASURED] * 2 + [Phase.COOLDOWN] * 2
    requests = [request(i, phase=phase) for i, phase in enumerate(phases)]
    transport = Scripted(loop, lambda asked: Reply(seconds=4.0 if asked.index < 3 else 1.0))
    run = play(tmp_path, transport, loop, ClosedLoop(2), requests)
    # Requests 0 and 1 until 4; user 0 is busy with 2 until 8; user 1 with 3, 4, 5 and 6 until 5, 6, 7 and 8.
    assert [one.due_ns // SECOND for one in run.records] == [0, 0, 4, 4, 5, 6, 7]
    assert run.window is not None
    assert (run.window.start_ns, run.window.end_ns) == (4 * SECOND, 6 * SECOND)


def test_users_of_a_ramp_begin_one_after_the_other(tmp_path: Path) -> None:
    loop = ManualLoop()
    transport = Scripted(loop, lambda _asked: Reply(seconds=100))
    run = play(tmp_path, transport, loop, ClosedLoop(4, ramp_s=8), [request(i) for i in range(4)])
    assert [(one.user, one.due_ns // SECOND) for one in run.records] == [(0, 0), (1, 2), (2, 4), (3, 6)]


def test_what_is_not_due_within_the_duration_is_not_asked_for(tmp_path: Path) -> None:
    loop = ManualLoop()
    run = play(tmp_path, Scripted(loop), loop, Constant(1.0), [request(i) for i in range(9)], duration_s=2.5)
    assert [one.outcome for one in run.records] == [Outcome.COMPLETED] * 3  # due at 0, 1 and 2
    assert run.complete
    closed = play(
        tmp_path, Scripted(loop), loop, ClosedLoop(2), [request(i) for i in range(9)], duration_s=2.5
    )
    assert [one.outcome for one in closed.records] == [Outcome.COMPLETED] * 6
    assert closed.complete


def test_processes_share_users_and_sessions_and_send_what_one_process_would(tmp_path: Path) -> None:
    def dues(of: int, arrivals: ArrivalProcess) -> list[tuple[int, int]]:
        sent = []
        for number in range(of):
            loop = ManualLoop()
            run = play(
                tmp_path,
                Scripted(loop),
                loop,
                arrivals,
                [request(i) for i in range(10)],
                share=Share(number, of),
            )
            sent += [(one.index, one.due_ns) for one in run.records]
        return sorted(sent)

    one = dues(1, Constant(4.0))
    assert one == [(i, i * SECOND // 4) for i in range(10)]
    assert dues(2, Constant(4.0)) == dues(3, Constant(4.0)) == one
    assert [index for index, _ in dues(3, ClosedLoop(6))] == list(range(10))


@pytest.mark.parametrize(("users", "of"), [(3, 2), (4, 3), (5, 4)])
def test_users_of_several_processes_have_as_much_to_ask_as_those_of_one(
    tmp_path: Path, users: int, of: int
) -> None:
    asked: list[tuple[int, int]] = []
    for number in range(of):
        loop = ManualLoop()
        requests = [request(i) for i in range(12 * users)]
        run = play(tmp_path, Scripted(loop), loop, ClosedLoop(users), requests, share=Share(number, of))
        asked += [(one.user, one.index) for one in run.records]
    assert sorted(index for _, index in asked) == list(range(12 * users))
    assert Counter(user for user, _ in asked) == dict.fromkeys(range(users), 12)


def test_the_time_bound_holds_however_long_a_user_thinks(tmp_path: Path) -> None:
    loop = ManualLoop()
    limits = RunLimits(duration_s=30)
    run = play(
        tmp_path, Scripted(loop), loop, ClosedLoop(1, think_s=100), [request(i) for i in range(3)], limits
    )
    assert loop.now_ns() == 30 * SECOND
    assert [one.outcome for one in run.records] == [Outcome.COMPLETED, Outcome.NOT_SENT, Outcome.NOT_SENT]
    assert run.stopped_because == "the run's time bound of 30 s was reached"


def test_the_time_bound_holds_however_slow_the_arrivals(tmp_path: Path) -> None:
    loop = ManualLoop()
    limits = RunLimits(duration_s=30)
    run = play(tmp_path, Scripted(loop), loop, Constant(0.001), [request(i) for i in range(3)], limits)
    assert loop.now_ns() == 30 * SECOND
    assert [one.outcome for one in run.records] == [Outcome.COMPLETED, Outcome.NOT_SENT, Outcome.NOT_SENT]


def test_a_last_request_within_the_time_bound_is_waited_for(tmp_path: Path) -> None:
    loop = ManualLoop()
    transport = Scripted(loop, lambda _asked: Reply(seconds=50))
    run = play(tmp_path, transport, loop, Constant(1.0), [request(0)], RunLimits(duration_s=30))
    assert (run.records[0].outcome, run.complete) == (Outcome.COMPLETED, True)

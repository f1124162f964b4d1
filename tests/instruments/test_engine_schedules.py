"""When the engine sends: a closed loop waits for answers, an open loop does not. Times in seconds."""

from __future__ import annotations

from pathlib import Path

from instruments.arrivals import ArrivalProcess, ClosedLoop, Constant
from instruments.clock import ClockAnchor, ManualClock
from instruments.engine import LoadEngine, LoadPlan
from instruments.journal import Journal
from instruments.limits import RunLimits
from instruments.records import LoadRun, Outcome, Phase, Request, RequestRecord
from tests.instruments.scripted import Reply, Scripted
from tests.instruments.shapes import SECOND, request

NO_LIMITS = RunLimits(duration_s=1e6, consecutive_failures=10**6)


async def play(
    folder: Path,
    transport: Scripted,
    clock: ManualClock,
    arrivals: ArrivalProcess,
    requests: list[Request],
    limits: RunLimits = NO_LIMITS,
) -> LoadRun:
    with Journal(folder / "a.jsonl", "a-run", {}, ClockAnchor(0, 0)) as journal:
        engine = LoadEngine(transport, journal, clock=clock)
        return await engine.run(LoadPlan("a-run", requests, arrivals, limits), ClockAnchor(0, 0))


def times(records: tuple[RequestRecord, ...]) -> list[tuple[float, float, float]]:
    """(due, sent, done) of each."""
    return [
        (one.due_ns / SECOND, (one.sent_ns or 0) / SECOND, (one.done_ns or 0) / SECOND) for one in records
    ]


async def test_a_user_is_due_again_when_answered_and_has_thought(tmp_path: Path) -> None:
    clock = ManualClock()
    transport = Scripted(clock, lambda asked: Reply(seconds=2.0 if asked.index else 3.0))
    run = await play(tmp_path, transport, clock, ClosedLoop(1, think_s=0.5), [request(i) for i in range(3)])
    assert times(run.records) == [(0, 0, 3), (3.5, 3.5, 5.5), (6, 6, 8)]
    assert run.window is not None
    assert run.window.duration_s == 8


async def test_users_go_on_by_themselves_and_never_have_two_requests_in_flight(tmp_path: Path) -> None:
    clock = ManualClock()
    transport = Scripted(clock, lambda asked: Reply(seconds=5.0 if asked.index == 0 else 2.0))
    run = await play(tmp_path, transport, clock, ClosedLoop(2), [request(i) for i in range(5)])
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


async def test_many_users_share_the_requests_and_each_request_is_sent_once(tmp_path: Path) -> None:
    clock = ManualClock()
    transport = Scripted(clock, lambda asked: Reply(seconds=1 + asked.index % 7 / 10))
    run = await play(tmp_path, transport, clock, ClosedLoop(8, think_s=0.1), [request(i) for i in range(100)])
    assert sorted(transport.sent) == list(range(100))
    assert [one.index for one in run.records] == list(range(100))
    assert set(transport.most_in_flight.values()) == {1}
    assert {one.user for one in run.records} == set(range(8))


async def test_a_request_that_was_given_up_kept_its_user_until_then(tmp_path: Path) -> None:
    """Its last byte came after a second; the stall was noticed at 30 s. The next is not 29 s late."""
    clock = ManualClock()
    stalled = Reply(Outcome.TIMED_OUT, seconds=30, last_byte_s=1)
    transport = Scripted(clock, lambda asked: Reply() if asked.index else stalled)
    run = await play(tmp_path, transport, clock, ClosedLoop(1, think_s=0.5), [request(0), request(1)])
    assert times(run.records)[1] == (30.5, 30.5, 31.5)


async def test_an_open_loop_keeps_its_due_times_though_answers_are_late(tmp_path: Path) -> None:
    clock = ManualClock()
    transport = Scripted(clock, lambda _asked: Reply(seconds=10))
    run = await play(tmp_path, transport, clock, Constant(2.0), [request(i) for i in range(4)])
    assert times(run.records) == [(0, 0, 10), (0.5, 0.5, 10.5), (1, 1, 11), (1.5, 1.5, 11.5)]
    assert transport.most_in_flight[0] == 4
    assert run.window is not None
    assert run.window.duration_s == 11.5


async def test_due_times_count_from_the_start_of_the_window(tmp_path: Path) -> None:
    clock = ManualClock(77 * SECOND)
    warm = [request(0, phase=Phase.WARMUP)]
    run = await play(tmp_path, Scripted(clock), clock, Constant(1.0), [*warm, request(1), request(2)])
    assert [one.due_ns // SECOND for one in run.records] == [77, 78, 79]


async def test_warm_up_is_over_before_the_window_opens(tmp_path: Path) -> None:
    clock = ManualClock()
    requests = [request(i, phase=Phase.WARMUP if i < 3 else Phase.MEASURED) for i in range(5)]
    transport = Scripted(clock, lambda asked: Reply(seconds=4.0 if asked.index < 3 else 1.0))
    run = await play(tmp_path, transport, clock, ClosedLoop(2), requests)
    # Requests 0 and 1 until 4, request 2 until 8; then 3 and 4 side by side.
    assert run.window is not None
    assert (run.window.start_ns, run.window.end_ns) == (8 * SECOND, 9 * SECOND)
    assert [one.due_ns // SECOND for one in run.records if one.phase is Phase.MEASURED] == [8, 8]


async def test_the_time_bound_holds_however_long_a_user_thinks(tmp_path: Path) -> None:
    clock = ManualClock()
    limits = RunLimits(duration_s=30)
    run = await play(
        tmp_path, Scripted(clock), clock, ClosedLoop(1, think_s=100), [request(i) for i in range(3)], limits
    )
    assert clock.now_ns() == 30 * SECOND
    assert [one.outcome for one in run.records] == [Outcome.COMPLETED, Outcome.NOT_SENT, Outcome.NOT_SENT]
    assert run.stopped_because == "the run's time bound of 30 s was reached"


async def test_the_time_bound_holds_however_slow_the_arrivals(tmp_path: Path) -> None:
    clock = ManualClock()
    limits = RunLimits(duration_s=30)
    run = await play(
        tmp_path, Scripted(clock), clock, Constant(0.001), [request(i) for i in range(3)], limits
    )
    assert clock.now_ns() == 30 * SECOND
    assert [one.outcome for one in run.records] == [Outcome.COMPLETED, Outcome.NOT_SENT, Outcome.NOT_SENT]


async def test_a_last_request_within_the_time_bound_is_waited_for(tmp_path: Path) -> None:
    clock = ManualClock()
    transport = Scripted(clock, lambda _asked: Reply(seconds=50))
    run = await play(tmp_path, transport, clock, Constant(1.0), [request(0)], RunLimits(duration_s=30))
    assert (run.records[0].outcome, run.complete) == (Outcome.COMPLETED, True)

"""The loop: what is read, what is due and what can wait, in the right order and never early."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from instruments.loop import READ, WRITE, ManualLoop, SocketLoop, _SelectorsPoller

MILLISECOND = 1_000_000


@pytest.fixture(params=["the platform's", "selectors"])
def loop(request: pytest.FixtureRequest) -> Iterator[SocketLoop]:
    one = SocketLoop()
    if request.param == "selectors":
        one._poller.close()
        one._poller = _SelectorsPoller()
    yield one
    one.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def run(loop: SocketLoop, finished: Callable[[], bool], bound_s: float = 5.0) -> None:
    """Run to the end, or to a bound that fails the test."""

    def too_long() -> None:
        raise TimeoutError(f"the loop still ran after {bound_s} s")

    loop.at(loop.now_ns() + round(bound_s * 1e9), too_long)
    loop.run(finished)


def test_no_timer_fires_early_and_all_in_the_order_of_their_instants(loop: SocketLoop) -> None:
    start_ns, fired = loop.now_ns(), []
    for delay_ns in (7 * MILLISECOND, 0, 3_000, 2 * MILLISECOND, 700_000, 2 * MILLISECOND):
        due_ns = start_ns + delay_ns
        loop.at(due_ns, lambda due_ns=due_ns: fired.append((due_ns, loop.now_ns())))  # type: ignore[misc]
    run(loop, lambda: len(fired) == 6)
    assert [due_ns for due_ns, _ in fired] == sorted(due_ns for due_ns, _ in fired)
    assert all(now_ns >= due_ns for due_ns, now_ns in fired)


def test_timers_of_one_instant_fire_in_the_order_of_asking_and_cancelled_ones_not(loop: SocketLoop) -> None:
    fired: list[str] = []
    instant_ns = loop.now_ns() + MILLISECOND
    for name in "abcd":
        timer = loop.at(instant_ns, lambda name=name: fired.append(name))  # type: ignore[misc]
        if name == "b":
            timer.cancel()
    run(loop, lambda: len(fired) == 3)
    assert fired == ["a", "c", "d"]


def test_a_timer_set_by_a_timer_fires_in_its_turn(loop: SocketLoop) -> None:
    fired: list[int] = []

    def again(left: int) -> None:
        fired.append(left)
        if left:
            loop.at(0, lambda: again(left - 1))

    loop.at(0, lambda: again(3))
    run(loop, lambda: len(fired) == 4)
    assert fired == [3, 2, 1, 0]


def test_a_readable_socket_calls_and_the_turn_knows_when(
    loop: SocketLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    seen: list[tuple[int, bytes, int]] = []
    loop.watch(ours.fileno(), lambda event: seen.append((event, ours.recv(99), loop.batch_ns)))
    sent_ns = time.monotonic_ns()
    theirs.send(b"hello")
    run(loop, lambda: bool(seen))
    ((event, data, batch_ns),) = seen
    assert (event & READ, data) == (READ, b"hello")
    assert sent_ns < batch_ns <= time.monotonic_ns()


def test_what_is_watched_for_can_be_changed_and_forgotten(
    loop: SocketLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    events: list[int] = []

    def writable(event: int) -> None:
        events.append(event)
        loop.watch(ours.fileno(), events.append)  # from now on only what can be read

    loop.watch(ours.fileno(), writable, READ | WRITE)
    run(loop, lambda: bool(events))
    assert events == [WRITE]
    turns = iter(range(4))
    loop.at(0, lambda: None)
    run(loop, lambda: next(turns, None) is None or not loop.at(0, lambda: None))
    assert events == [WRITE]
    loop.forget(ours.fileno())
    theirs.send(b"nobody listens")
    turns = iter(range(4))
    run(loop, lambda: next(turns, None) is None or not loop.at(0, lambda: None))
    assert events == [WRITE]


def test_a_socket_closed_by_an_earlier_action_of_the_turn_is_not_called(loop: SocketLoop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def first_wins(number: int) -> None:
        called.append(number)
        for ours, _ in pairs:
            loop.forget(ours.fileno())

    for number, (ours, theirs) in enumerate(pairs):
        loop.watch(ours.fileno(), lambda _event, number=number: first_wins(number))  # type: ignore[misc]
        theirs.send(b"x")
    run(loop, lambda: bool(called))
    assert len(called) == 1
    for one in (sock for both in pairs for sock in both):
        one.close()


def test_idle_work_waits_for_what_is_due_and_is_done_in_order(loop: SocketLoop) -> None:
    done: list[str] = []
    for name in ("first", "second"):
        loop.when_idle(lambda name=name: done.append(name))  # type: ignore[misc]
    loop.at(loop.now_ns() + 200_000, lambda: done.append("due"))  # sooner than an idle job may take
    run(loop, lambda: len(done) == 3)
    assert done == ["due", "first", "second"]


def test_idle_work_is_done_though_timers_never_stop(loop: SocketLoop) -> None:
    done: list[bool] = []

    def forever() -> None:
        loop.at(loop.now_ns() + 5 * MILLISECOND, forever)

    forever()
    loop.when_idle(lambda: done.append(True))
    run(loop, lambda: bool(done))


def test_what_an_action_raises_ends_the_loop(loop: SocketLoop) -> None:
    loop.at(0, lambda: 1 // 0)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        run(loop, lambda: False)


def test_a_manual_loop_moves_from_timer_to_timer_and_does_idle_work_between() -> None:
    loop, seen = ManualLoop(5), []
    loop.at(100, lambda: seen.append(("a", loop.now_ns())))
    loop.at(40, lambda: seen.append(("b", loop.now_ns())))
    loop.at(3, lambda: seen.append(("c", loop.now_ns())))
    loop.when_idle(lambda: seen.append(("idle", loop.now_ns())))
    loop.run(lambda: len(seen) == 4)
    assert seen == [("c", 5), ("idle", 5), ("b", 40), ("a", 100)]
    with pytest.raises(RuntimeError, match="for ever"):
        loop.run(lambda: False)


def test_what_is_to_be_exact_is_never_early_and_can_be_cancelled(loop: SocketLoop) -> None:
    fired: list[tuple[int, int]] = []
    start_ns = loop.now_ns()
    for delay_ns in (0, 10_000, 100_000, 3 * MILLISECOND):
        due_ns = start_ns + delay_ns
        loop.at_exactly(due_ns, lambda due_ns=due_ns: fired.append((due_ns, loop.now_ns())))  # type: ignore[misc]
    loop.at_exactly(start_ns + MILLISECOND, lambda: fired.append((0, 0))).cancel()
    run(loop, lambda: len(fired) == 4)
    assert [due_ns - start_ns for due_ns, _ in fired] == [0, 10_000, 100_000, 3 * MILLISECOND]
    assert all(now_ns >= due_ns for due_ns, now_ns in fired)

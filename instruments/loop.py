"""The loop: sockets and instants on one thread, and nothing between an arrival and its reading but reading.

A load is made of two things that must not wait for each other: bytes that arrive, and requests that
are due. The loop reads a few sockets, looks at the clock, does a little of what is due, and reads again;
what can wait (making records out of bytes) is done when nothing else is there to do. Reading comes first
because what lies in a socket unread when more comes shares its stamp with it (transport.stamps).
"""

from __future__ import annotations

import select
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from instruments.clock import NANOSECONDS

if sys.platform == "linux":
    from instruments.alarm import Alarm

READ, WRITE = 1, 4  # EPOLLIN, EPOLLOUT
EVENTS_A_TURN = 16  # sockets read before the clock is looked at again: about 0.1 ms
ACTIONS_A_TURN = 4  # what is due and done before sockets are read again: a request costs some 50 µs to send
# Bytes keep the kernel's instant of their arrival, so that nobody has to run for them: a loop that has
# read all there was sleeps a little and then reads from many sockets at once. To be woken for each costs
# more than to read it. Chunks of one stream that come closer together than this share a stamp.
NAP_S = 0.0004
NAP_ROOM_NS = 600_000  # none is taken when something is due within this
IDLE_JOB_NS = 300_000  # what a job of the idle queue may take; none is begun when something is due before
IDLE_JOBS_KEPT = 64  # beyond it jobs are done however busy the loop is: memory is bounded too
WAKING_NS = 80_000  # what it takes to be woken, about
LONGEST_WAIT_NS = NANOSECONDS // 4  # a signal's handler only sets a flag; the loop looks at it so often

Action = Callable[[], None]


class Timer:
    """Something to be done at an instant, unless it is cancelled before."""

    __slots__ = ("action", "instant_ns")

    def __init__(self, instant_ns: int, action: Action) -> None:
        self.instant_ns = instant_ns
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None  # what it held on to is let go at once


class Loop(Protocol):
    """Time, as the engine sees it."""

    def now_ns(self) -> int:
        """The present instant, in nanoseconds of a monotonic clock."""
        ...

    def at(self, instant_ns: int, action: Action) -> Timer:
        """Do something at or after an instant."""
        ...

    def at_exactly(self, instant_ns: int, action: Action) -> Timer:
        """Do something as near after an instant as can be: the last bit of the way is waited awake."""
        ...

    def when_idle(self, action: Action) -> None:
        """Do something when there is nothing to read and nothing due; in the order of asking."""
        ...

    def run(self, finished: Callable[[], bool]) -> None:
        """Turn until `finished`, which is asked once a turn. What an action raises ends the loop."""
        ...


class Timers:
    """Timers in the order of their instants, equal ones in the order of asking."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._numbers = count()

    def add(self, instant_ns: int, action: Action) -> Timer:
        timer = Timer(instant_ns, action)
        heappush(self._heap, (instant_ns, next(self._numbers), timer))
        return timer

    def next_ns(self) -> int | None:
        """When the next one is due; None when there is none."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now_ns: int) -> Action | None:
        """The action of the first timer that is due."""
        due_ns = self.next_ns()
        if due_ns is None or due_ns > now_ns:
            return None
        timer = heappop(self._heap)[2]
        # An action that knows its timer is a circle, and nobody collects those while load goes on.
        action, timer.action = timer.action, None
        return action


class SocketLoop:
    """The loop on real sockets and the machine's monotonic clock (CLOCK_MONOTONIC on Linux)."""

    def __init__(self) -> None:
        self.batch_ns = time.monotonic_ns()  # when the sockets of this turn were known to be readable
        self._timers = Timers()
        self._idle: deque[Action] = deque()
        self._actions: dict[int, Callable[[int], None]] = {}
        self._poller = _EpollPoller() if sys.platform == "linux" else _SelectorsPoller()
        self.may_nap = False  # only where somebody else than this loop stamps what arrives

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def at(self, instant_ns: int, action: Action) -> Timer:
        return self._timers.add(instant_ns, action)

    def at_exactly(self, instant_ns: int, action: Action) -> Timer:
        def stay_awake() -> None:
            while time.monotonic_ns() < instant_ns:
                pass
            action()

        return self._timers.add(instant_ns - WAKING_NS, stay_awake)

    def when_idle(self, action: Action) -> None:
        self._idle.append(action)

    def watch(self, descriptor: int, action: Callable[[int], None], events: int = READ) -> None:
        """Call `action` with the events that came (READ, WRITE or an error) whenever there are some."""
        if descriptor in self._actions:
            self._poller.modify(descriptor, events)
        else:
            self._poller.register(descriptor, events)
        self._actions[descriptor] = action

    def forget(self, descriptor: int) -> None:
        """Stop watching; to be called before the descriptor is closed."""
        if self._actions.pop(descriptor, None) is not None:
            self._poller.unregister(descriptor)

    def run(self, finished: Callable[[], bool]) -> None:
        poll, actions, timers, now_ns = self._poller.poll, self._actions, self._timers, time.monotonic_ns
        while not finished():
            due_ns = timers.next_ns()
            events = poll(0 if self._idle else now_ns() + LONGEST_WAIT_NS if due_ns is None else due_ns)
            self.batch_ns = batch_ns = now_ns()
            for descriptor, event in events:
                # One that an earlier action of this turn has closed is not there any more.
                if (action := actions.get(descriptor)) is not None:
                    action(event)
            for _ in range(ACTIONS_A_TURN):
                if (due := timers.pop_due(batch_ns)) is None:
                    break
                due()
            if len(self._idle) > IDLE_JOBS_KEPT:
                self._idle.popleft()()
            elif len(events) < EVENTS_A_TURN:
                self._rest(bool(events), now_ns())

    def _rest(self, busy: bool, now_ns: int) -> None:
        """All was read that was there: do what can wait, or take a nap."""
        due_ns = self._timers.next_ns()
        room_ns = NAP_ROOM_NS if due_ns is None else due_ns - now_ns
        if self._idle:
            if room_ns > IDLE_JOB_NS:
                self._idle.popleft()()
        elif busy and self.may_nap and room_ns >= NAP_ROOM_NS:
            time.sleep(NAP_S)

    def close(self) -> None:
        self._poller.close()


class ManualLoop:
    """A loop whose time moves only from one timer to the next: schedules are tested without waiting."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._timers = Timers()
        self._idle: deque[Action] = deque()

    def now_ns(self) -> int:
        return self._now_ns

    def at(self, instant_ns: int, action: Action) -> Timer:
        return self._timers.add(instant_ns, action)

    at_exactly = at

    def when_idle(self, action: Action) -> None:
        self._idle.append(action)

    def run(self, finished: Callable[[], bool]) -> None:
        while not finished():
            due_ns = self._timers.next_ns()
            if self._idle and (due_ns is None or due_ns > self._now_ns):
                self._idle.popleft()()
                continue
            if due_ns is None:
                raise RuntimeError("the loop would wait for ever: no timer is set")
            self._now_ns = max(self._now_ns, due_ns)
            if (action := self._timers.pop_due(self._now_ns)) is not None:
                action()


class _Poller(Protocol):
    def register(self, descriptor: int, events: int) -> None: ...
    def modify(self, descriptor: int, events: int) -> None: ...
    def unregister(self, descriptor: int) -> None: ...
    def poll(self, until_ns: int) -> list[tuple[int, int]]:
        """(descriptor, events), waited for until an instant at most; not at all when it has passed."""
        ...

    def close(self) -> None: ...


if sys.platform == "linux":

    class _EpollPoller:
        """epoll, woken at exact instants by an alarm of its own: epoll itself counts in milliseconds."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.register, self.modify = self._epoll.register, self._epoll.modify
            self.unregister = self._epoll.unregister
            self._alarm = Alarm()
            self._epoll.register(self._alarm.fileno(), READ)

        def poll(self, until_ns: int) -> list[tuple[int, int]]:
            if until_ns <= time.monotonic_ns():
                events = self._epoll.poll(0, EVENTS_A_TURN)
            else:
                self._alarm.ring_at(until_ns)
                events = self._epoll.poll(LONGEST_WAIT_NS / NANOSECONDS, EVENTS_A_TURN)
            if (alarm := (self._alarm.fileno(), READ)) in events:
                events.remove(alarm)
                self._alarm.hush()
            return events

        def close(self) -> None:
            self._epoll.close()
            self._alarm.close()

else:

    class _EpollPoller(_Poller):
        """Never made here."""


class _SelectorsPoller:
    """The platform's own selector (kqueue on macOS, whose waits are exact)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._found: deque[tuple[int, int]] = deque()  # ready, and not handed out yet

    def register(self, descriptor: int, events: int) -> None:
        self._selector.register(descriptor, _translated(events))

    def modify(self, descriptor: int, events: int) -> None:
        self._selector.modify(descriptor, _translated(events))

    def unregister(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        self._found = deque(one for one in self._found if one[0] != descriptor)

    def poll(self, until_ns: int) -> list[tuple[int, int]]:
        if not self._found:
            wait_ns = min(until_ns - time.monotonic_ns(), LONGEST_WAIT_NS)
            for key, mask in self._selector.select(max(0, wait_ns) / NANOSECONDS):
                read, write = mask & selectors.EVENT_READ, mask & selectors.EVENT_WRITE
                self._found.append((key.fd, READ * bool(read) | WRITE * bool(write)))
        return [self._found.popleft() for _ in range(min(len(self._found), EVENTS_A_TURN))]

    def close(self) -> None:
        self._selector.close()


def _translated(events: int) -> int:
    read = selectors.EVENT_READ if events & READ else 0
    return read | (selectors.EVENT_WRITE if events & WRITE else 0)

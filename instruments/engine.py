"""The load engine: pairs requests with the instants at which they are due; drops nothing silently."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import Any

from instruments.arrivals import ClosedLoop
from instruments.clock import NANOSECONDS, ClockAnchor
from instruments.journal import Journal, with_ending
from instruments.limits import LimitWatch
from instruments.loop import Loop, Timer
from instruments.plan import LoadPlan, Sessions, each_turn, never_sent
from instruments.records import ClientCheck, LoadRun, Outcome, Phase, Request, RequestRecord, Window
from instruments.selfcheck import SelfCheck
from instruments.transport import Asked, Transport
from instruments.workloads.conversations import continued

INTERRUPTED = "the run was interrupted"
# A plan may be long when it is stopped: so many records of what was not sent at a time, for so long.
TOLD_AT_ONCE, TELLING_NS = 20, 5 * NANOSECONDS


class LoadEngine:
    """Runs one plan over a transport, on its loop. An engine runs one plan, once."""

    def __init__(
        self,
        transport: Transport[Any],
        journal: Journal,
        loop: Loop,
        *,
        check: SelfCheck | None = None,
        observe: Callable[[RequestRecord], None] | None = None,
        keep: bool = True,
    ) -> None:
        """`keep` holds the records in memory for the LoadRun; the journal has them in any case."""
        self._transport, self._journal, self._loop = transport, journal, loop
        self._check = check
        self._observe = observe
        self._keeps = keep
        self._records: list[RequestRecord] = []
        self._sessions = Sessions(())
        self._in_flight: dict[Asked, int] = {}  # with the instant at which it was sent, or meant to be
        # What a timer will send, if that is known, and when.
        self._scheduled: dict[Timer, tuple[Request | None, int]] = {}
        self._unkept = 0  # exchanges that are over and have no record yet
        self._stopped_because: str | None = None
        self._over = False  # nothing is due any more
        self._decided_at: int | None = None  # so many of the plan were looked at; the rest is not wanted
        self._stopped_ns: int | None = None  # the plan had not come to its end, and all was not decided
        self._start_ns: int | None = None
        self._window_ns: tuple[int, int] | None = None

    def run(self, plan: LoadPlan, anchor: ClockAnchor, begin: Callable[[], int] | None = None) -> LoadRun:
        """Send all of the plan. `begin` is called when all is ready and says when the run starts.

        Raises JournalError when records cannot be kept.
        """
        self._plan, self._watch = plan, LimitWatch(plan.limits)
        self._closed = plan.arrivals if isinstance(plan.arrivals, ClosedLoop) else None
        try:
            self._sessions = plan.sessions()
            self._transport.open(len(plan.users()) or self._sessions.connections())
            if self._check is not None:
                self._check.prepare()
            start_ns = self._start_ns = begin() if begin else self._loop.now_ns()
            with self._check or nullcontext():
                self._play(start_ns)
        except KeyboardInterrupt:
            self.stop(INTERRUPTED, at_once=True)
            while self._unkept:
                self._loop.run(lambda: not self._unkept)
            raise
        except BaseException as error:
            self._stopped_because = self._stopped_because or f"{type(error).__name__} ended the run"
            raise
        finally:
            try:
                self._journal.end(self._window(), self._client(), self._stopped_because, self._decided_at)
            finally:
                self._transport.close()
        return LoadRun(
            name=plan.name,
            description=with_ending(plan.description, self._decided_at),
            anchor=anchor,
            records=tuple(sorted(self._records, key=lambda record: record.index)),
            window=self._window(),
            client=self._client(),
            complete=self._stopped_because is None,
            stopped_because=self._stopped_because,
        )

    def stop(self, reason: str, *, at_once: bool = False) -> None:
        """Send nothing more; `at_once` leaves what is in flight too. What was due has its record."""
        if self._stopped_because is None:
            self._stopped_because = reason
        self._cut_off(record=self._decided_at is None)
        if at_once:
            for asked in list(self._in_flight):
                self._transport.cancel(asked, "the run was stopped")

    def enough(self, looked_at: int) -> None:
        """Send nothing more, for the first so many of the plan decide all: the rest is not due, nor recorded.

        What is in flight ends as it would have; of a begun conversation the later turns are dropped.
        """
        if not self._over:
            turns = any(asked.request.then is not None for asked in self._in_flight)
            self._decided_at = looked_at if turns or self._more_to_send() else None
            self._cut_off(record=False)

    def _play(self, start_ns: int) -> None:
        self._loop.at(start_ns + round(self._plan.limits.duration_s * NANOSECONDS), self._time_over)
        if self._plan.duration_s is not None:
            end_ns = start_ns + round(self._plan.duration_s * NANOSECONDS)
            self._loop.at(end_ns, partial(self._cut_off, record=False))
        if self._closed is not None:
            spread_ns = round(self._closed.ramp_s * NANOSECONDS)
            for user in self._plan.users():
                self._next_of_user(user, start_ns + spread_ns * user // self._closed.users)
        else:
            self._next_arrival()
        self._loop.run(self._finished)
        if not self._over and self._sessions.left():
            self.stop("nobody was left to send the rest")
            self._loop.run(self._finished)

    def _finished(self) -> bool:
        return not (self._in_flight or self._scheduled or self._unkept)

    def _next_of_user(self, user: int, due_ns: int) -> None:
        """A user of a closed loop is due: at once, or when the time to think is over.

        Never sent from here: bytes that have arrived are read before the next requests go out.
        """
        if not self._over and self._sessions.left():
            self._send_at(due_ns, None, user)

    def _drawn(self) -> Request | None:
        session = None if self._over else next(self._sessions, None)
        return session.request if session is not None else None

    def _next_arrival(self) -> None:
        """Put the next of an open loop on the clock: one at a time, so that sockets are read in a burst."""
        if not self._over and (session := next(self._sessions, None)) is not None:
            due_ns = session.due_ns(self._start_ns)
            assert due_ns is not None  # noqa: S101 - narrows a type
            self._send_at(due_ns, session.request, 0, then=self._next_arrival)

    def _send_at(
        self, due_ns: int, request: Request | None, user: int, then: Callable[[], None] | None = None
    ) -> None:
        def fire() -> None:
            del self._scheduled[timer]
            asked = self._drawn() if request is None else request
            if asked is not None:
                self._send(asked, user, due_ns)
            if then is not None:
                then()

        timer = (
            self._loop.at(due_ns, fire) if self._closed is not None else self._loop.at_exactly(due_ns, fire)
        )
        self._scheduled[timer] = (request, due_ns)

    def _send(self, request: Request, user: int, due_ns: int) -> None:
        now_ns = self._loop.now_ns()
        asked = self._transport.send(request, user=user, due_ns=due_ns, ended=self._ended)
        self._in_flight[asked] = now_ns
        if self._check is not None:
            self._check.in_flight(now_ns, 1)
        if request.phase is Phase.MEASURED:
            first_ns, last_ns = self._window_ns or (due_ns, due_ns)
            self._window_ns = (min(first_ns, due_ns), last_ns)
        if (reason := self._watch.sent(len(self._in_flight))) is not None:
            self.stop(reason)

    def _ended(self, asked: Asked) -> None:
        began_ns, now_ns = self._in_flight.pop(asked), self._loop.now_ns()
        # A request that failed kept its user until now, however long ago its last byte came.
        ended_ns = asked.done_ns if asked.whole and asked.done_ns is not None else now_ns
        self._count(asked, began_ns, now_ns, ended_ns)
        if asked.request.then is not None:
            self._converse(asked, self._keep(self._transport.record(asked)), ended_ns)
            return
        # To read an answer takes time that the next request is not made to wait for. A failure may be the one
        # that ends the run, and is read at once, unless that would put it before what ended earlier.
        if asked.whole or self._unkept:
            self._unkept += 1
            self._loop.when_idle(partial(self._keep_later, asked))
        else:
            self._keep(self._transport.record(asked))
        self._go_on(asked.user, ended_ns)

    def _count(self, asked: Asked, began_ns: int, now_ns: int, ended_ns: int) -> None:
        if asked.request.phase is Phase.MEASURED and self._window_ns is not None:
            self._window_ns = (self._window_ns[0], max(self._window_ns[1], ended_ns))
        if self._check is not None:
            self._check.in_flight(now_ns, -1)
            self._check.answered(ended_ns - began_ns)

    def _go_on(self, user: int, ended_ns: int) -> None:
        if self._closed is not None:
            self._next_of_user(user, ended_ns + round(self._closed.think_s * NANOSECONDS))

    def _converse(self, asked: Asked, record: RequestRecord, ended_ns: int) -> None:
        """The next turn of a conversation, or the end of it."""
        turn = asked.request.then
        assert turn is not None  # noqa: S101 - narrows a type
        if record.outcome is not Outcome.COMPLETED:
            self._never_sent(turn, "the turn before it was not completed")
            self._go_on(asked.user, ended_ns)
        elif self._over:
            self._never_sent(turn, self._stopped_because)
        else:
            turn = continued(asked.request, asked.text)
            self._send_at(ended_ns + round(turn.think_s * NANOSECONDS), turn, asked.user)

    def _time_over(self) -> None:
        if self._more_to_send():
            self.stop(f"the run's time bound of {self._plan.limits.duration_s:g} s was reached")

    def _more_to_send(self) -> bool:
        planned = any(request is not None for request, _ in self._scheduled.values())
        return planned or (not self._over and self._sessions.left())

    def _cut_off(self, *, record: bool) -> None:
        """Nothing is due any more. With `record`, what was planned is NOT_SENT, as far as it is owed."""
        self._over = True
        if record and self._stopped_ns is None:
            self._stopped_ns = self._loop.now_ns()
            self._unkept += 1
            self._loop.when_idle(self._tell_unsent)
        for timer, (request, due_ns) in self._scheduled.items():
            timer.cancel()
            if request is not None:
                self._never_sent(request, self._stopped_because, due_ns)
        self._scheduled.clear()

    def _tell_unsent(self) -> None:
        """Records of what was never sent, some at a time: answers in flight are read meanwhile."""
        for session in islice(self._sessions, TOLD_AT_ONCE):
            was_due_ns = session.due_ns(self._start_ns)
            if self._plan.ends_before(session.offset_ns) or not self._owed(session.request, was_due_ns):
                break
            self._never_sent(session.request, self._stopped_because, was_due_ns)
        else:
            if self._sessions.left() and self._loop.now_ns() < (self._stopped_ns or 0) + TELLING_NS:
                self._loop.when_idle(self._tell_unsent)
                return
            if self._sessions.left():
                self._stopped_because = f"{self._stopped_because}; the rest of the plan has no records"
        self._unkept -= 1

    def _never_sent(self, request: Request, reason: str | None, due_ns: int | None = None) -> None:
        """A record for a request that was planned and not sent, and for the turns after it, where owed."""
        now_ns = self._loop.now_ns()
        for turn in each_turn(request):
            if self._owed(turn, due_ns if turn is request else None):
                self._keep(never_sent(turn, now_ns if due_ns is None else due_ns, reason), sent=False)

    def _owed(self, request: Request, due_ns: int | None) -> bool:
        """Whether what is not sent has a record. Not when the rest is not due; not all of a budget."""
        if self._stopped_ns is None:
            return not self._over
        if self._plan.fewest is None:
            return True
        if self._closed is not None:
            return not self._sessions.spare(request)
        return due_ns is not None and due_ns <= self._stopped_ns

    def _keep_later(self, asked: Asked) -> None:
        self._unkept -= 1
        self._keep(self._transport.record(asked))

    def _keep(self, record: RequestRecord, *, sent: bool = True) -> RequestRecord:
        self._journal.append(record)
        if self._keeps:
            self._records.append(record)
        if self._observe is not None:
            self._observe(record)
        if sent and (reason := self._watch.ended(record.outcome)) is not None and not self._over:
            self.stop(reason)
        return record

    def _window(self) -> Window | None:
        return Window(*self._window_ns) if self._window_ns is not None else None

    def _client(self) -> ClientCheck | None:
        if self._check is None:
            return None
        clock = getattr(self._transport, "clock", None)
        if clock is not None:
            clock.watch()  # it may have been set since the last look
        stamps, steps = (clock.source, clock.steps) if clock is not None else ("none", 0)
        return self._check.result(stamps, self._transport.connections_made, steps)

"""A Transport that answers as it was told, on a manual loop: schedules are tested without a socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from instruments.clock import NANOSECONDS
from instruments.loop import ManualLoop, Timer
from instruments.records import Outcome, Request, RequestRecord


@dataclass(frozen=True, slots=True)
class Reply:
    """What becomes of one request. `seconds` of None: no answer, ever."""

    outcome: Outcome = Outcome.COMPLETED
    seconds: float | None = 1.0
    last_byte_s: float | None = None  # when the last byte came, if before the exchange was given up
    error: Exception | None = None  # a programming mistake in a transport
    text: str = ""


@dataclass(eq=False)
class Asked:
    """One request in flight."""

    request: Request
    user: int
    due_ns: int
    sent_ns: int | None
    reply: Reply
    ended: Callable[[Asked], None]
    outcome: Outcome | None = None
    done_ns: int | None = None
    timer: Timer | None = None

    @property
    def whole(self) -> bool:
        return self.outcome is Outcome.COMPLETED

    @property
    def text(self) -> str:
        return self.reply.text


class Scripted:
    """Answers each request with the reply that `script` gives it, and keeps count of what is in flight."""

    def __init__(self, loop: ManualLoop, script: Callable[[Request], Reply] | None = None) -> None:
        self._loop = loop
        self._script = script or (lambda _request: Reply())
        self.in_flight: Counter[int] = Counter()  # by user
        self.most_in_flight: Counter[int] = Counter()
        self.sent: list[int] = []
        self.asked: list[Request] = []
        self.opened: int | None = None
        self.closed = False
        self.connections_made = 0

    def open(self, connections: int) -> None:
        self.opened = connections

    def close(self) -> None:
        self.closed = True

    def send(self, request: Request, *, user: int, due_ns: int, ended: Callable[[Asked], None]) -> Asked:
        reply = self._script(request)
        self.sent.append(request.index)
        self.asked.append(request)
        self.in_flight[user] += 1
        self.most_in_flight[user] = max(self.most_in_flight[user], self.in_flight[user])
        asked = Asked(request, user, due_ns, self._loop.now_ns(), reply, ended)
        if reply.seconds is not None:
            ends_ns = self._loop.now_ns() + round(reply.seconds * NANOSECONDS)
            asked.timer = self._loop.at(ends_ns, lambda: self._over(asked, reply.outcome))
        return asked

    def cancel(self, asked: Asked, reason: str) -> None:
        if asked.timer is not None:
            asked.timer.cancel()
        self._over(asked, Outcome.CANCELLED)

    def record(self, asked: Asked) -> RequestRecord:
        assert asked.outcome is not None
        return RequestRecord(
            index=asked.request.index,
            request_id=asked.request.request_id,
            user=asked.user,
            phase=asked.request.phase,
            outcome=asked.outcome,
            due_ns=asked.due_ns,
            sent_ns=asked.sent_ns,
            done_ns=asked.done_ns,
        )

    def _over(self, asked: Asked, outcome: Outcome) -> None:
        self.in_flight[asked.user] -= 1
        if asked.reply.error is not None:
            raise asked.reply.error
        asked.outcome = outcome
        reply = asked.reply
        heard_s = reply.seconds if reply.last_byte_s is None else reply.last_byte_s
        asked.done_ns = None if heard_s is None else (asked.sent_ns or 0) + round(heard_s * NANOSECONDS)
        asked.ended(asked)

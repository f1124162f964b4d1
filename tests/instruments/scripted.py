"""A Transport that answers as it was told, on a manual clock: schedules are tested without a socket."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from instruments.clock import NANOSECONDS, ManualClock
from instruments.records import Outcome, Request, RequestRecord


@dataclass(frozen=True, slots=True)
class Reply:
    """What becomes of one request. `seconds` of None: no answer, ever."""

    outcome: Outcome = Outcome.COMPLETED
    seconds: float | None = 1.0
    last_byte_s: float | None = None  # when the last byte came, if before the exchange was given up
    error: Exception | None = None  # a programming mistake in a transport


class Scripted:
    """Answers each request with the reply that `script` gives it, and keeps count of what is in flight."""

    def __init__(self, clock: ManualClock, script: Callable[[Request], Reply] | None = None) -> None:
        self._clock = clock
        self._script = script or (lambda _request: Reply())
        self.in_flight: Counter[int] = Counter()  # by user
        self.most_in_flight: Counter[int] = Counter()
        self.sent: list[int] = []
        self.opened: int | None = None
        self.closed = False
        self.stuck = asyncio.Event()  # a request is in flight that will never be answered

    async def open(self, connections: int) -> None:
        self.opened = connections

    async def close(self) -> None:
        self.closed = True

    async def send(self, request: Request, *, user: int, due_ns: int) -> RequestRecord:
        reply = self._script(request)
        self.sent.append(request.index)
        self.in_flight[user] += 1
        self.most_in_flight[user] = max(self.most_in_flight[user], self.in_flight[user])
        sent_ns, outcome = self._clock.now_ns(), reply.outcome
        try:
            await self._wait(reply.seconds)
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
        self.in_flight[user] -= 1
        if reply.error is not None:
            raise reply.error
        heard_s = reply.seconds if reply.last_byte_s is None else reply.last_byte_s
        return RequestRecord(
            index=request.index,
            request_id=request.request_id,
            user=user,
            phase=request.phase,
            outcome=outcome,
            due_ns=due_ns,
            sent_ns=sent_ns,
            done_ns=None if heard_s is None else sent_ns + round(heard_s * NANOSECONDS),
        )

    async def _wait(self, seconds: float | None) -> None:
        if seconds is None:
            self.stuck.set()
            await asyncio.Event().wait()
        else:
            await self._clock.sleep_until(self._clock.now_ns() + round(seconds * NANOSECONDS))

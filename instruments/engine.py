"""The load engine: pairs requests with the instants at which they are due; drops nothing silently."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from instruments.arrivals import ArrivalProcess, ClosedLoop, OpenLoop
from instruments.clock import NANOSECONDS, Clock, ClockAnchor, SystemClock
from instruments.journal import Journal
from instruments.limits import RunLimits
from instruments.records import LoadRun, Outcome, Phase, Request, RequestRecord, Window
from instruments.selfcheck import SelfCheck
from instruments.transport import Transport

FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.TRUNCATED, Outcome.REFUSED})


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A run, complete before it begins: which requests, when, and until when."""

    name: str
    requests: Sequence[Request]
    arrivals: ArrivalProcess
    limits: RunLimits = field(default_factory=RunLimits)
    description: Mapping[str, Any] = field(default_factory=dict)


class LoadEngine:
    """Runs one plan over a transport. One engine runs one plan at a time."""

    def __init__(
        self,
        transport: Transport,
        journal: Journal,
        *,
        clock: Clock | None = None,
        observe: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        self._transport = transport
        self._journal = journal
        self._clock = clock or SystemClock()
        self._observe = observe
        self._records: list[RequestRecord] = []
        self._failures_in_a_row = 0
        self._stopped_because: str | None = None
        self._started_ns = 0

    async def run(self, plan: LoadPlan, anchor: ClockAnchor) -> LoadRun:
        """Send all of the plan. Raises JournalError when records cannot be kept."""
        users = plan.arrivals.users if isinstance(plan.arrivals, ClosedLoop) else 1
        check = SelfCheck()
        window: Window | None = None
        try:
            await self._transport.open(users)
            self._started_ns = self._clock.now_ns()
            await self._phase(plan, Phase.WARMUP)
            async with check:
                start_ns = self._clock.now_ns()
                await self._phase(plan, Phase.MEASURED)
                window = Window(start_ns, self._clock.now_ns())
        except asyncio.CancelledError:
            self._stopped_because = "the run was interrupted"
            raise
        finally:
            try:
                self._journal.end(window, check.result(), self._stopped_because)
            finally:
                await self._transport.close()
        return LoadRun(
            name=plan.name,
            description=plan.description,
            anchor=anchor,
            records=tuple(sorted(self._records, key=lambda record: record.index)),
            window=window,
            client=check.result(),
            complete=self._stopped_because is None,
            stopped_because=self._stopped_because,
        )

    async def _phase(self, plan: LoadPlan, phase: Phase) -> None:
        waiting = deque(request for request in plan.requests if request.phase is phase)
        if not waiting:
            return
        try:
            async with asyncio.TaskGroup() as group:
                if isinstance(plan.arrivals, ClosedLoop):
                    think_ns = round(plan.arrivals.think_s * NANOSECONDS)
                    for user in range(plan.arrivals.users):
                        group.create_task(self._user(user, waiting, think_ns, plan.limits))
                else:
                    await self._schedule(group, waiting, plan.arrivals, plan.limits)
        except ExceptionGroup as failures:  # `except*` would put what it raises into a group again
            raise failures.exceptions[0] from None
        for request in waiting:
            self._keep(_not_sent(request, self._clock.now_ns(), self._stopped_because))

    async def _user(self, user: int, waiting: deque[Request], think_ns: int, limits: RunLimits) -> None:
        """One user of a closed loop: due again when the last answer ended, plus the time to think."""
        due_ns = self._clock.now_ns()
        while waiting and not self._must_stop(limits):
            if due_ns > self._clock.now_ns():
                await self._clock.sleep_until(min(due_ns, self._end_ns(limits)))
                continue  # others went on meanwhile: is there anything left to ask, and time for it?
            record = await self._one(waiting.popleft(), user, due_ns)
            # A request that failed kept its user until now, however long ago its last byte came.
            done_ns = record.done_ns if record.outcome is Outcome.COMPLETED else None
            due_ns = (self._clock.now_ns() if done_ns is None else done_ns) + think_ns

    async def _schedule(
        self, group: asyncio.TaskGroup, waiting: deque[Request], arrivals: OpenLoop, limits: RunLimits
    ) -> None:
        start_ns = self._clock.now_ns()
        for offset_ns in arrivals.due_ns():
            if not waiting:
                return
            await self._clock.sleep_until(min(start_ns + offset_ns, self._end_ns(limits)))
            if self._must_stop(limits):
                return
            group.create_task(self._one(waiting.popleft(), 0, start_ns + offset_ns))

    async def _one(self, request: Request, user: int, due_ns: int) -> RequestRecord:
        record = await self._transport.send(request, user=user, due_ns=due_ns)
        self._keep(record)
        self._failures_in_a_row = self._failures_in_a_row + 1 if record.outcome in FAILURES else 0
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The transport turned the cancellation into a record; now that it is kept, go.
            raise asyncio.CancelledError
        return record

    def _keep(self, record: RequestRecord) -> None:
        self._journal.append(record)
        self._records.append(record)
        if self._observe is not None:
            self._observe(record)

    def _end_ns(self, limits: RunLimits) -> int:
        return self._started_ns + round(limits.duration_s * NANOSECONDS)

    def _must_stop(self, limits: RunLimits) -> bool:
        if self._stopped_because is None:
            elapsed_s = (self._clock.now_ns() - self._started_ns) / NANOSECONDS
            self._stopped_because = limits.broken_by(elapsed_s, self._failures_in_a_row)
        return self._stopped_because is not None


def _not_sent(request: Request, now_ns: int, reason: str | None) -> RequestRecord:
    return RequestRecord(
        index=request.index,
        request_id=request.request_id,
        user=0,
        phase=request.phase,
        outcome=Outcome.NOT_SENT,
        due_ns=now_ns,
        error=reason or "the run ended before it was sent",
    )

"""How many requests were due by now: computed from the plan, for nobody asks a running engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from instruments.arrivals import ArrivalProcess, ClosedLoop
from instruments.clock import NANOSECONDS

if TYPE_CHECKING:
    from instruments.fleet import Progress


class DueByNow:
    """Counts along a plan's schedule. Exact for an open loop, but for the start's few milliseconds.

    In a closed loop every user is taken to have a request in flight, as without think time all have.
    """

    def __init__(
        self, arrivals: ArrivalProcess, seed: int, total: int | None, duration_s: float | None
    ) -> None:
        self._users = arrivals.users if isinstance(arrivals, ClosedLoop) else None
        self._schedule: Iterator[int] = (
            iter(()) if isinstance(arrivals, ClosedLoop) else arrivals.due_ns(seed)
        )
        self._next_ns = next(self._schedule, None)
        self._total, self._duration_s = total, duration_s
        self._due = 0

    def __call__(self, progress: Progress) -> int:
        """At this progress; never less than what has ended."""
        if self._users is not None:
            over = self._duration_s is not None and progress.elapsed_s >= self._duration_s
            due = progress.ended if over else progress.ended + self._users
        else:
            due = self._scheduled(progress.elapsed_s)
        return max(progress.ended, due if self._total is None else min(due, self._total))

    def _scheduled(self, elapsed_s: float) -> int:
        bound_s = elapsed_s if self._duration_s is None else min(elapsed_s, self._duration_s)
        bound_ns = bound_s * NANOSECONDS
        while self._next_ns is not None and self._next_ns <= bound_ns and self._due != self._total:
            self._due += 1
            self._next_ns = next(self._schedule, None)
        return self._due

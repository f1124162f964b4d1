"""How many requests were due by now: computed from the plan, for nobody asks a running engine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from instruments.arrivals import ArrivalProcess, ClosedLoop
from instruments.clock import NANOSECONDS

if TYPE_CHECKING:
    from instruments.fleet import Progress


class DueByNow:
    """Counts along a plan's schedule; never less than before. Exact for an open loop of single requests,
    but for the start's few milliseconds; later turns of conversations are not in a schedule.

    In a closed loop every user is taken to have a request in flight, as without think time all have. When
    its time is over nothing more becomes due, and those that were taken to be in flight end.
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
        self._due, self._highest = 0, 0

    def __call__(self, progress: Progress) -> int:
        """At this progress; never less than what has ended, nor than at the progress before."""
        if self._users is not None:
            over = self._duration_s is not None and progress.elapsed_s >= self._duration_s
            due = progress.ended if over else progress.ended + self._users
        else:
            due = self._scheduled(progress.elapsed_s)
        if self._total is not None:
            due = min(due, self._total)
        self._highest = max(self._highest, due, progress.ended)
        return self._highest

    def _scheduled(self, elapsed_s: float) -> int:
        now_ns = elapsed_s * NANOSECONDS
        end_ns = math.inf if self._duration_s is None else self._duration_s * NANOSECONDS
        while self._next_ns is not None and self._next_ns <= now_ns and self._due != self._total:
            if self._next_ns >= end_ns:  # as the engine has it: at the end itself nothing is due
                break
            self._due += 1
            self._next_ns = next(self._schedule, None)
        return self._due

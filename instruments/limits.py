"""Bounds of a run and of a request: everything that waits, waits for so long and no longer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from instruments.records import Outcome

FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.TRUNCATED, Outcome.REFUSED})


@dataclass(frozen=True, slots=True)
class RequestTimeouts:
    """Bounds on one request, in seconds."""

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    stall_s: float = 30.0  # between two arrivals of bytes
    total_s: float = 300.0


@dataclass(frozen=True, slots=True)
class RunLimits:
    """When a run ends before all its requests are answered. None is no bound.

    `duration_s` is a bound that a good run does not reach: what was not sent by then is NOT_SENT (of a
    budget, see `LoadPlan`). The length that a run is meant to have is `LoadPlan.duration_s`.
    """

    duration_s: float = 600.0
    consecutive_failures: int = 20
    error_share: float | None = None  # of the last `error_window` requests that ended, 0 to 1
    error_window: int = 100
    in_flight: int | None = None  # an open loop with more than this has saturated the server


class LimitWatch:
    """Keeps count of what ended, and says when a limit is broken."""

    def __init__(self, limits: RunLimits) -> None:
        self._limits = limits
        self._in_a_row = 0
        self._window: deque[bool] = deque(maxlen=limits.error_window)

    def ended(self, outcome: Outcome) -> str | None:
        """Count one request; why the run must stop now, or None."""
        failed = outcome in FAILURES
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._window.append(failed)
        if self._in_a_row >= self._limits.consecutive_failures:
            return f"{self._in_a_row} requests in a row failed"
        share, full = self._limits.error_share, len(self._window) == self._limits.error_window
        if share is not None and full and sum(self._window) > share * len(self._window):
            return f"{sum(self._window)} of the last {len(self._window)} requests failed"
        return None

    def sent(self, in_flight: int) -> str | None:
        """Look at how many are in flight; why the run must stop now, or None."""
        most = self._limits.in_flight
        if most is not None and in_flight > most:
            return f"the server is saturated: more than {most} requests are in flight"
        return None

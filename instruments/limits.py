"""Bounds of a run and of a request: everything that waits, waits for so long and no longer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestTimeouts:
    """Bounds on one request, in seconds."""

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    stall_s: float = 30.0  # between two arrivals of bytes
    total_s: float = 300.0


@dataclass(frozen=True, slots=True)
class RunLimits:
    """When a run ends: all its requests answered, its time over, or too many failures in a row."""

    duration_s: float = 600.0
    consecutive_failures: int = 20

    def broken_by(self, elapsed_s: float, failures_in_a_row: int) -> str | None:
        """Why the run must stop now, or None."""
        if elapsed_s >= self.duration_s:
            return f"the run's time bound of {self.duration_s:g} s was reached"
        if failures_in_a_row >= self.consecutive_failures:
            return f"{failures_in_a_row} requests in a row failed"
        return None

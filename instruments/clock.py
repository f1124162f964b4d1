"""The one clock: integer nanoseconds of the machine's monotonic clock, which never steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClockAnchor:
    """One instant read on both clocks, so that records can be laid beside wall-clock series.

    Wall time is a label: no duration is ever computed from it.
    """

    monotonic_ns: int
    unix_ns: int

    @classmethod
    def now(cls) -> ClockAnchor:
        return cls(time.monotonic_ns(), time.time_ns())

    def unix_s(self, instant_ns: int) -> float:
        """Unix time, in seconds, of a monotonic instant."""
        return (self.unix_ns + instant_ns - self.monotonic_ns) / NANOSECONDS

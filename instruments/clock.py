"""The one clock: integer nanoseconds that never step, and sleeping until one of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

NANOSECONDS = 1_000_000_000


class Clock(Protocol):
    """Where instants come from. Instants of different clocks are never compared."""

    def now_ns(self) -> int:
        """The present instant, in nanoseconds of a monotonic clock with an arbitrary origin."""
        ...

    async def sleep_until(self, instant_ns: int) -> None:
        """Return at or after the instant; at once when it has passed."""
        ...


class SystemClock:
    """The machine's monotonic clock (CLOCK_MONOTONIC on Linux)."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep_until(self, instant_ns: int) -> None:
        delay_ns = instant_ns - time.monotonic_ns()
        await asyncio.sleep(max(0.0, delay_ns / NANOSECONDS))


class ManualClock:
    """A clock that moves only when somebody sleeps on it: schedules are tested without waiting."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, instant_ns: int) -> None:
        self._now_ns = max(self._now_ns, instant_ns)
        await asyncio.sleep(0)


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

"""The one clock: integer nanoseconds that never step, and sleeping until one of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from heapq import heapify, heappush
from itertools import count
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
        await asyncio.sleep(max(0, instant_ns - time.monotonic_ns()) / NANOSECONDS)
        # An event loop may wake a sleeper by its clock's resolution too early.
        while (left_ns := instant_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - time is the event
            await asyncio.sleep(left_ns / NANOSECONDS)


class ManualClock:
    """A clock that moves only when all sleep on it, to the first instant that is slept for.

    Schedules are tested without waiting, and any number of tasks wake in the order of their instants.
    It cannot know of input and output: tasks that wait for a socket are not waited for.
    """

    SETTLE = 16  # turns of the event loop in which nobody goes to sleep or wakes: then all sleep

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._sleepers: list[tuple[int, int]] = []
        self._numbers = count()
        self._quiet = 0

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, instant_ns: int) -> None:
        sleeper = (instant_ns, next(self._numbers))
        heappush(self._sleepers, sleeper)
        self._quiet = 0
        try:
            await asyncio.sleep(0)
            while self._now_ns < instant_ns or self._sleepers[0] != sleeper:
                await self._turn(sleeper)
        finally:
            self._sleepers.remove(sleeper)
            heapify(self._sleepers)
            self._quiet = 0

    async def _turn(self, sleeper: tuple[int, int]) -> None:
        if self._sleepers[0] == sleeper:
            self._quiet += 1
            if self._quiet > self.SETTLE:
                self._now_ns = max(self._now_ns, sleeper[0])
                return
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

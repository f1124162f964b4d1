"""Windows: the moving windows of the rate limiter, kept in this process.

The library's own memory storage starts a timer thread (its asyncio form: a hop to the thread pool) on nearly
every hit, reads the wall clock, and keeps a list for every address ever seen. This one does not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from limits import RateLimitItem
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

SWEEP_EVERY_S = 30.0


class MovingWindows(Storage, MovingWindowSupport):
    """Instants of admitted hits by key, on the monotonic clock; a window that has run out is forgotten."""

    STORAGE_SCHEME = ("gateway-memory",)  # type: ignore[assignment]  # the library's own list is mutable for no reason

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._hits: dict[str, deque[float]] = {}
        self._expiry: dict[str, int] = {}
        self._swept_s = clock()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Admit `amount` hits if the last `expiry` seconds leave room. A refused hit is not counted."""
        now = self._clock()
        if now - self._swept_s > SWEEP_EVERY_S:
            self._sweep(now)
        hits = self._live(key, now, expiry)
        if len(hits) + amount > limit:
            return False
        hits.extend([now] * amount)
        self._hits[key], self._expiry[key] = hits, expiry
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest hit of the window was made (now, without one), and how many there are."""
        now = self._clock()
        hits = self._live(key, now, expiry)
        return (hits[0] if hits else now), len(hits)

    def _live(self, key: str, now: float, expiry: int) -> deque[float]:
        hits = self._hits.get(key) or deque()
        while hits and hits[0] <= now - expiry:
            hits.popleft()
        return hits

    def _sweep(self, now: float) -> None:
        self._swept_s = now
        for key in [
            key for key, hits in self._hits.items() if not hits or hits[-1] <= now - self._expiry[key]
        ]:
            self.clear(key)

    @property
    def base_exceptions(self) -> type[Exception]:
        """No exception of a backend: there is none."""
        return ValueError

    def clear(self, key: str) -> None:
        """Forget one window."""
        self._hits.pop(key, None)
        self._expiry.pop(key, None)

    def reset(self) -> int:
        """Forget all; returns how many there were."""
        count = len(self._hits)
        self._hits.clear()
        self._expiry.clear()
        return count

    def check(self) -> bool:
        """A dictionary is always there."""
        return True

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Not for moving windows."""
        raise NotImplementedError("only moving windows are kept here")

    def get(self, key: str) -> int:
        """Not for moving windows."""
        raise NotImplementedError("only moving windows are kept here")

    def get_expiry(self, key: str) -> float:
        """Not for moving windows."""
        raise NotImplementedError("only moving windows are kept here")


class MemoryWindows:
    """Moving windows in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows = MovingWindowRateLimiter(MovingWindows(clock))

    async def hit(self, rate: RateLimitItem, scope: str, identity: str) -> bool:
        """Count one hit if the rate has room for it."""
        return self._windows.hit(rate, scope, identity)

    async def stats(self, rate: RateLimitItem, scope: str, identity: str) -> tuple[float, int]:
        """Seconds until there is more room, and how much there is."""
        window = self._windows.get_window_stats(rate, scope, identity)
        return window.reset_time - self._clock(), window.remaining

"""Limiter: who may ask how often; it sits before the key check, so that guessing keys is limited too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import limits

from deploy.gateway.account import LimitScope
from deploy.gateway.settings import Key, Limits


class StorageFailed(Exception):
    """Where the limits are kept did not answer, or not in time."""


class Windows(Protocol):
    """Counts of hits by who made them. Each method raises StorageFailed."""

    async def hit(self, rate: limits.RateLimitItem, scope: str, identity: str) -> bool:
        """Count one hit if the rate has room for it."""

    async def stats(self, rate: limits.RateLimitItem, scope: str, identity: str) -> tuple[float, int]:
        """Seconds until there is more room, and how much there is."""


@dataclass(frozen=True)
class Refusal:
    """A hit that was not admitted: which limit, what it allows, and when the next one may pass."""

    scope: LimitScope
    rate: str
    limit: int
    remaining: int
    retry_after_s: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Retry-After and X-RateLimit-*; both times are whole seconds from now."""
        wait = str(self.retry_after_s).encode()
        return [
            (b"retry-after", wait),
            (b"x-ratelimit-limit", str(self.limit).encode()),
            (b"x-ratelimit-remaining", str(self.remaining).encode()),
            (b"x-ratelimit-reset", wait),
        ]

    @property
    def message(self) -> str:
        """What the client is told."""
        return f"Rate limit exceeded: {self.rate} ({self.scope}). Try again in {self.retry_after_s} s."


def whole_seconds(wait_s: float) -> int:
    """A wait as Retry-After has it: rounded up, and never "at once"."""
    return max(1, math.ceil(wait_s))


class Limiter:
    """Two windows a request: its address, and its key (or, without a known key, its address once more)."""

    def __init__(
        self, rates: Limits, windows: Windows, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self._rates = rates
        self._windows = windows
        self._on_failure = on_failure

    async def refusal(self, address: str, key: Key | None) -> Refusal | None:
        """None if the request may pass (and is counted), else why not.

        Raises StorageFailed when nobody can tell and the settings say `on_storage_failure: refuse`.
        """
        try:
            return await self._refusal(address, key)
        except StorageFailed:
            self._on_failure()
            if self._rates.on_storage_failure == "allow":
                return None
            raise

    async def _refusal(self, address: str, key: Key | None) -> Refusal | None:
        refused = await self._hit("client", self._rates.client, address)
        if refused:
            return refused
        if key is None:
            return await self._hit("anonymous", self._rates.anonymous, address)
        return await self._hit("key", key.limit or self._rates.key, key.name)

    async def _hit(self, scope: LimitScope, rate: str | None, identity: str) -> Refusal | None:
        if rate is None:
            return None
        item = parsed(rate)
        if await self._windows.hit(item, scope, identity):
            return None
        wait_s, remaining = await self._windows.stats(item, scope, identity)
        return Refusal(scope, str(item), item.amount, max(0, remaining), whole_seconds(wait_s))


@lru_cache(maxsize=1024)
def parsed(rate: str) -> limits.RateLimitItem:
    """A rate of the settings as the library has it."""
    return limits.parse(rate)

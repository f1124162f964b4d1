"""Limiter: who may ask how often; it sits before the key check, so that guessing keys is limited too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import limits
from limits.strategies import MovingWindowRateLimiter

from deploy.gateway.account import ANONYMOUS, LimitScope
from deploy.gateway.settings import Key, Limits
from deploy.gateway.windows import MovingWindows


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


class Limiter:
    """Two windows a request: its address, and its key (or, without a known key, its address once more)."""

    def __init__(
        self, rates: Limits, keys: Sequence[Key], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._windows = MovingWindowRateLimiter(MovingWindows(clock))
        self._client = _parsed(rates.client)
        self._anonymous = _parsed(rates.anonymous)
        self._keys = {key.name: _parsed(key.limit or rates.key) for key in keys}

    def refusal(self, address: str, key: str) -> Refusal | None:
        """None if the request may pass (and is counted), else why not. `key` is a name or "anonymous"."""
        refused = self._hit("client", self._client, address)
        if refused:
            return refused
        if key == ANONYMOUS:
            return self._hit("anonymous", self._anonymous, address)
        return self._hit("key", self._keys[key], key)

    def _hit(self, scope: LimitScope, rate: limits.RateLimitItem | None, identity: str) -> Refusal | None:
        if rate is None or self._windows.hit(rate, scope, identity):
            return None
        window = self._windows.get_window_stats(rate, scope, identity)
        wait_s = max(1, math.ceil(window.reset_time - self._clock()))
        return Refusal(scope, str(rate), rate.amount, max(0, window.remaining), wait_s)


def _parsed(rate: str | None) -> limits.RateLimitItem | None:
    return None if rate is None else limits.parse(rate)

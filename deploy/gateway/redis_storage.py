"""Redis: limits that several gateways keep together. Every call has a bound; a failure is StorageFailed.

While Redis does not answer it is asked again only every RETRY_S, so that a dead one costs a request nothing.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any, TypeVar

import limits
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from redis import RedisError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from structlog.typing import FilteringBoundLogger

from deploy.gateway.keys import secret
from deploy.gateway.limiter import StorageFailed
from deploy.gateway.settings import Limits, SettingsError
from deploy.gateway.tokens import Charge, Shortage

PREFIX = "vllm-slo-gateway"
RETRY_S = 1.0
MOST_CONNECTIONS = 64
# A time-out that rings so many times later than it should says of Redis nothing: it was we who did not run.
STALLED_SHARE = 1.5

T = TypeVar("T")


class SharedStorage:
    """One Redis: its windows of hits and its charges of tokens."""

    def __init__(self, rates: Limits, environment: Mapping[str, str], log: FilteringBoundLogger) -> None:
        """Raises SettingsError when the URL is not there or is none. Connects when first asked."""
        self._log = log
        self._timeout_s = rates.storage_timeout_s
        self._failed_s: float | None = None
        self._pool = _pool(rates, environment)
        client = Redis(connection_pool=self._pool)
        options: dict[str, Any] = {"connection_pool": self._pool}
        storage = RedisStorage("async+redis://", implementation="redispy", key_prefix=PREFIX, **options)
        kind = SlidingWindowCounterRateLimiter if rates.window == "sliding" else MovingWindowRateLimiter
        self._windows = kind(storage)
        self._reserve = client.register_script(_script("reserve"))
        self._settle = client.register_script(_script("settle"))

    async def hit(self, rate: limits.RateLimitItem, scope: str, identity: str) -> bool:
        """Count one hit if the rate has room for it."""
        return await self._bounded(lambda: self._windows.hit(rate, scope, identity))

    async def stats(self, rate: limits.RateLimitItem, scope: str, identity: str) -> tuple[float, int]:
        """Seconds until there is more room, and how much there is."""
        window = await self._bounded(lambda: self._windows.get_window_stats(rate, scope, identity))
        return window.reset_time - time.time(), int(window.remaining)

    async def reserve(self, key: str, rate: limits.RateLimitItem, amount: int) -> Charge | Shortage:
        """Charge `amount` tokens if they fit; the clock is Redis's own."""
        number = uuid.uuid4().hex
        arguments: list[str | int] = [rate.get_expiry() * 1_000_000, rate.amount, amount, number]
        fits, wait_us, left = await self._bounded(lambda: self._reserve(_places(key), arguments))
        return Charge(key, rate, amount, number) if fits else Shortage(wait_us / 1e6, left)

    async def settle(self, charge: Charge, used: int) -> None:
        """Make the charge what was used."""
        arguments: list[str | int] = [
            charge.rate.get_expiry() * 1_000_000,
            charge.reserved,
            used,
            charge.number,
        ]
        await self._bounded(lambda: self._settle(_places(charge.key), arguments))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _bounded(self, ask: Callable[[], Awaitable[T]]) -> T:
        began_s = time.monotonic()
        if self._failed_s is not None:
            if began_s - self._failed_s < RETRY_S:
                raise StorageFailed
            self._failed_s = began_s  # this one asks; the others do not wait with it
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await ask()
        except (RedisError, OSError, TimeoutError) as error:
            if time.monotonic() - began_s < STALLED_SHARE * self._timeout_s:
                self._note_failure(error)
            raise StorageFailed from None
        if self._failed_s is not None:
            self._failed_s = None
            self._log.info("limits_storage_back")
        return answer

    def _note_failure(self, error: Exception) -> None:
        if self._failed_s is None:
            # The kind only: the text of an error may quote the URL.
            self._log.error("limits_storage_failed", error=type(error).__name__, timeout_s=self._timeout_s)
        self._failed_s = time.monotonic()


def _pool(rates: Limits, environment: Mapping[str, str]) -> BlockingConnectionPool:
    url = secret(environment, rates.redis_url_env or "", "limits.redis_url_env")
    wrong = SettingsError(
        f"limits.redis_url_env: the variable {rates.redis_url_env} holds no URL of a Redis; "
        "allowed: redis://[:PASSWORD@]HOST:PORT[/DATABASE], rediss://… for TLS"
    )
    if not url.startswith(("redis://", "rediss://")):
        raise wrong
    try:
        return BlockingConnectionPool.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            timeout=rates.storage_timeout_s,
            socket_timeout=rates.storage_timeout_s,
            socket_connect_timeout=rates.storage_timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, TypeError):
        raise wrong from None


def _places(key: str) -> list[str]:
    """The two Redis keys of one client's tokens; the braces keep them on one node of a cluster."""
    return [f"{PREFIX}:{{tokens:{key}}}:at", f"{PREFIX}:{{tokens:{key}}}:amounts"]


def _script(name: str) -> str:
    return resources.files("deploy.gateway").joinpath(f"redis_{name}.lua").read_text(encoding="utf-8")

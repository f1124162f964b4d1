"""Health: /health says that this process lives, /ready that a request sent now would find the engine."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx

from deploy.gateway.upstream import Upstream

CHECK_BOUND_S = 1.0
CACHED_FOR_S = 0.5


@dataclass(frozen=True)
class Finding:
    """What the last check saw; reason is None when the engine is ready."""

    reason: str | None
    checked_s: float


class Readiness:
    """Asks the engine's /health when somebody asks us: every CACHED_FOR_S at most, one question at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._asking = asyncio.Lock()
        self._last: Finding | None = None
        self.draining = False

    async def reason_against(self) -> str | None:
        """None when ready, else why not, in words for an operator."""
        if self.draining:
            return "draining"
        async with self._asking:
            if self._last is None or time.monotonic() - self._last.checked_s > CACHED_FOR_S:
                self._last = Finding(await self._ask(), time.monotonic())
            return self._last.reason

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_BOUND_S):
                status = await self._upstream.health_status(CHECK_BOUND_S)
        except (TimeoutError, httpx.TimeoutException):
            return f"the engine did not answer its /health within {CHECK_BOUND_S:g} s"
        except httpx.TransportError:
            return "the engine cannot be reached"
        return None if status == httpx.codes.OK else f"the engine answered {status} to /health"

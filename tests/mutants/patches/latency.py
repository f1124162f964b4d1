"""Faults of the gateway for the latency suite."""

import asyncio
from collections.abc import Iterable

from deploy.gateway.account import Account
from deploy.gateway.upstream import Answer, Upstream
from tests.mutants.gateway import Patch

SLOW_S = 0.04


def wait_before_asking() -> None:
    """Each request waits before it goes to the engine, and one that came by a proxy as long again."""
    honest = Upstream.ask

    async def slow(
        self: Upstream,
        account: Account,
        path: str,
        query: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
    ) -> Answer:
        known = list(headers)
        forwarded = any(name.lower() == b"x-forwarded-for" for name, _ in known)
        await asyncio.sleep(2 * SLOW_S if forwarded else SLOW_S)
        return await honest(self, account, path, query, known, body)

    Upstream.ask = slow  # type: ignore[method-assign]


PATCHES: dict[str, Patch] = {"gateway-slow": wait_before_asking}

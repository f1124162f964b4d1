"""Faults of a server that does worse the more it is asked."""

import asyncio
from collections.abc import AsyncIterator

from tests.faults.planting import Answer, Planted

HELD_S = 0.02  # of one answer alone; of n at once each is held by the power 1.5 of n times as long

_open: set[object] = set()


async def thrashed(answer: Answer) -> AsyncIterator[bytes]:
    """All streams hold each other up: from four at once on, more users get fewer tokens a second."""
    if not answer.streamed:
        async for piece in answer.body:
            yield piece
        return
    this = object()
    _open.add(this)
    try:
        await asyncio.sleep(HELD_S * len(_open) ** 1.5)
        async for piece in answer.body:
            yield piece
    finally:
        _open.discard(this)


FAULTS = [Planted("thrashing", timing=thrashed)]

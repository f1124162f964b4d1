"""Faults that a bad network brings to light, and queues that lie."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count

from tests.faults.message import Head
from tests.faults.planting import Answer, Asked, Planted
from tests.faults.rewriting import Edit

ALTERED_EACH, STALLED_EACH = 5, 30  # streams
STALL_S = 5.0
CONTENT = re.compile(rb'("content":\s*")([^"\\])')

_numbers = count(1)


async def later_and_later(answer: Answer) -> AsyncIterator[bytes]:
    """The first bytes of the n-th stream are late by n times `delay_s`."""
    if answer.streamed:
        await asyncio.sleep(next(_numbers) * answer.asked.delay_s)
    async for piece in answer.body:
        yield piece


async def slower_and_slower(answer: Answer) -> AsyncIterator[bytes]:
    """Each event of the n-th stream is late by n times `delay_s`."""
    if not answer.streamed:
        async for piece in answer.body:
            yield piece
        return
    wait_s = next(_numbers) * answer.asked.delay_s
    async for piece in answer.body:
        for event in piece.splitlines(keepends=True):
            if event.strip():
                await asyncio.sleep(wait_s)
            yield event


async def stalled(answer: Answer) -> AsyncIterator[bytes]:
    """Each thirtieth stream stalls in its middle."""
    stalls = answer.streamed and next(_numbers) % STALLED_EACH == 0
    pieces = 0
    async for piece in answer.body:
        pieces += 1
        if stalls and pieces == 6:
            await asyncio.sleep(STALL_S)
        yield piece


def altered(asked: Asked) -> Edit | None:
    """In each fifth stream a letter is another: the n-th of one run is not that of the next."""
    if asked.path == b"/metrics" or next(_numbers) % ALTERED_EACH:
        return None
    return lambda event: CONTENT.sub(lambda found: found[1] + (b"#" if found[2] != b"#" else b"%"), event, 1)


def full_as_broken(asked: Asked, head: Head) -> Head:
    """What is full says that it is broken."""
    return replace(head, start=b"HTTP/1.1 500 Internal Server Error") if head.status == 503 else head


FAULTS = [
    Planted("later-and-later", timing=later_and_later),
    Planted("slower-and-slower", timing=slower_and_slower),
    Planted("stalls-at-times", timing=stalled),
    Planted("letters-altered", event=altered),
    Planted("full-is-500", head=full_as_broken),
]

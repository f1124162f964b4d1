"""Faults of timing, and of what an engine says of its prefix cache."""

import asyncio
import re
import time
from collections.abc import AsyncIterator

from tests.faults.planted.streams import CHAT
from tests.faults.planting import Answer, Planted, at

BEGAN = time.monotonic()
LONG_BYTES = 2500  # of a request whose prompt has some 500 tokens
HITS = re.compile(rb"^(vllm:prefix_cache_hits_total(?:\{[^}]*\})? )(\S+)", re.M)
QUERIES = re.compile(rb"^vllm:prefix_cache_queries_total(?:\{[^}]*\})? (\S+)", re.M)
_asked = False


async def quadratic(answer: Answer) -> AsyncIterator[bytes]:
    """The first bytes late by the square of the request's length: `delay_s` for a prompt of 500 tokens."""
    if answer.asked.path.endswith(CHAT):
        await asyncio.sleep(answer.asked.delay_s * (len(answer.asked.body) / LONG_BYTES) ** 2)
    async for piece in answer.body:
        yield piece


async def first_is_late(answer: Answer) -> AsyncIterator[bytes]:
    """The first chat of all is late by `delay_s`."""
    global _asked
    late, _asked = answer.asked.path.endswith(CHAT) and not _asked, _asked or answer.asked.path.endswith(CHAT)
    if late:
        await asyncio.sleep(answer.asked.delay_s)
    async for piece in answer.body:
        yield piece


async def slow_start(answer: Answer) -> AsyncIterator[bytes]:
    """Health is not told before `delay_s` have passed since the start."""
    if answer.asked.path == b"/health":
        await asyncio.sleep(max(0.0, BEGAN + answer.asked.delay_s - time.monotonic()))
    async for piece in answer.body:
        yield piece


def all_hits(text: bytes) -> bytes:
    """Each look-up in the prefix cache found all it looked for."""
    queries = QUERIES.search(text)
    return HITS.sub(lambda found: found[1] + (queries[1] if queries else found[2]), text)


FAULTS = [
    Planted("long-prompts-quadratic", timing=quadratic),
    Planted("first-request-late", timing=first_is_late),
    Planted("slow-start", timing=slow_start),
    Planted("cache-hits-all", whole=at(b"/metrics", all_hits)),
]

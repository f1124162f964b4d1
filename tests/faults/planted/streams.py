"""Faults of answers and of streams that more than one suite meets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from tests.faults import rewriting
from tests.faults.message import Head
from tests.faults.planting import Answer, Asked, Planted, at

CHAT = b"/chat/completions"


async def held(answer: Answer) -> AsyncIterator[bytes]:
    """A stream all at once, at its end."""
    if answer.streamed:
        yield b"".join([piece async for piece in answer.body])
        return
    async for piece in answer.body:
        yield piece


async def late(answer: Answer) -> AsyncIterator[bytes]:
    """The first bytes of a streamed chat after `delay_s`."""
    wait = answer.streamed and answer.asked.path.endswith(CHAT)
    async for piece in answer.body:
        if wait:
            await asyncio.sleep(answer.asked.delay_s)
        wait = False
        yield piece


def hidden_error(asked: Asked, head: Head) -> Head:
    """The client's errors as 200."""
    return replace(head, start=b"HTTP/1.1 200 OK") if 400 <= head.status < 500 else head


def tokenizer_open(asked: Asked, head: Head) -> Head:
    """What vLLM does: /tokenize is served to anybody. The simulator has no such route."""
    return replace(head, start=b"HTTP/1.1 200 OK") if asked.path == b"/tokenize" else head


FAULTS = [
    Planted("none"),
    Planted("buffering", timing=held),
    Planted("first-token-delay", timing=late),
    Planted("token-dropped", event=lambda asked: rewriting.without_one_token()),
    Planted(
        "usage-inflated",
        whole=lambda asked: None if asked.path == b"/metrics" else rewriting.inflated_usage,
        event=lambda asked: rewriting.inflated_usage,
    ),
    Planted("no-done", event=lambda asked: rewriting.without_done),
    Planted("error-200", head=hidden_error),
    Planted("slot-leak", leaks=True),
    Planted("tokenizer-open", head=tokenizer_open),
    Planted("models-unlisted", whole=at(b"/v1/models", lambda text: text.replace(b'"id"', b'"name"'))),
]

"""Streams of a key whose tokens are limited: charged by usage that the client did not ask for, nor sees."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    ROOT,
    Reply,
    Request,
    Running,
    Upstream,
    stage,
    streaming,
    until,
)

PIECE = b'data: {"choices":[{"delta":{"content":"\\"usage\\": x"}}]}\n\n'
LAST = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n'
TOLD = b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":300,"completion_tokens":100}}\n\n'


@contextlib.asynccontextmanager
async def limited(rate: str | None = "1000/hour", **more: Any) -> AsyncIterator[tuple[Upstream, Running]]:
    """A stage on which the key has so many tokens."""
    keys = [{"name": "suite", "key_env": "GATEWAY_KEY", "tokens_limit": rate}]
    async with stage(keys=keys, **more) as pair:
        yield pair


async def ask(running: Running, body: bytes, path: str = CHAT) -> httpx.Response:
    response: httpx.Response = await running.client.post(path, headers=AUTHORIZED, content=body)
    return response


async def left(running: Running) -> int:
    """Tokens that the key still has: asked with a request that cannot fit."""
    response = await ask(running, b'{"max_tokens":1000}')
    assert response.status_code == 429
    return int(response.headers["x-ratelimit-remaining"])


@pytest.mark.parametrize("true", ["true", "1", '"yes"', "1.0"])
async def test_a_stream_that_does_not_ask_for_its_usage_pays_for_it_all_the_same(true: str) -> None:
    body = b' {"stream" : %s,\n "max_tokens":5, "x":"\xc3\xa4", "y":1e2 } \r\n' % true.encode()
    async with limited() as (upstream, running):
        # cut in the middle of an event, and two in a piece
        upstream.script = streaming(PIECE[:20], PIECE[20:] + PIECE, LAST + TOLD[:30], TOLD[30:] + DONE)
        response = await ask(running, body)
        assert response.content == PIECE + PIECE + LAST + DONE
        sent = upstream.requests[0].body
        assert sent == body[:-4] + b',"stream_options":{"include_usage":true}}'
        assert await left(running) == 600  # 1000 - 300 - 100


async def test_other_options_of_the_stream_are_kept() -> None:
    body = b'{"stream":true,"stream_options":{"include_usage":false,"other":7},"n":1}'
    async with limited() as (upstream, running):
        upstream.script = streaming(PIECE, TOLD, DONE)
        assert (await ask(running, body)).content == PIECE + DONE
        options = {"include_usage": True, "other": 7}
        assert json.loads(upstream.requests[0].body) == {"stream": True, "stream_options": options, "n": 1}
        assert upstream.requests[0].body.count(b"stream_options") == 1


@pytest.mark.parametrize(
    ("body", "rate"),
    [
        (b'{"stream":true, "stream_options":{"include_usage":true}}', "1000/hour"),
        (b'{"stream":true, "stream_options":"wrong"}', "1000/hour"),  # the engine's to refuse
        (b'{"stream":false, "n":1}', "1000/hour"),
        (b'{"stream":true, "n":1}', None),
    ],
)
async def test_all_other_bodies_and_answers_pass_byte_for_byte(body: bytes, rate: str | None) -> None:
    async with limited(rate) as (upstream, running):
        upstream.script = streaming(PIECE, TOLD, DONE)
        assert (await ask(running, body)).content == PIECE + TOLD + DONE
        assert upstream.requests[0].body == body


async def test_a_client_that_leaves_pays_for_what_it_was_sent() -> None:
    async def endless(request: Request, reply: Reply) -> None:
        await reply.stream()
        for _ in range(200):
            await reply.chunk(PIECE)
        await until(lambda: reply.writer.transport.is_closing(), "the gateway to leave")

    async with limited() as (upstream, running):
        upstream.script = endless
        body = {"stream": True, "max_tokens": 7}
        async with running.client.stream("POST", CHAT, headers=AUTHORIZED, json=body) as response:
            size = 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size == 200 * len(PIECE):
                    break
        await until(lambda: bool(running.lines()), "the request to end")
        assert await left(running) == 800


async def test_a_stream_that_breaks_is_passed_on_to_its_last_byte() -> None:
    async def broken(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(PIECE + b'data: {"cho')
        reply.cut()

    async with limited() as (upstream, running):
        upstream.script = broken
        shown = (await ask(running, b'{"stream":true,"max_tokens":600}')).content
        assert shown.startswith(PIECE + b'data: {"cho\n\ndata: {"error"')
        assert shown.endswith(b"}\n\n")
        assert await left(running) == 400  # nobody knows: the reservation stays


async def test_the_plain_route_pays_too() -> None:
    async with limited(routes=["POST /generate", f"POST {CHAT}"]) as (upstream, running):
        said = b'data: {"choices":[{"text":"a"}]}\n\n'
        upstream.script = streaming(said, TOLD, DONE)
        response = await ask(running, b'{"prompt":"a","stream":true}', "/generate")
        assert json.loads(response.content.splitlines()[-1])["usage"]["prompt_tokens"] == 300
        assert await left(running) == 600


def test_the_guide_says_what_is_changed() -> None:
    guide = (ROOT / "deploy/gateway/README.md").read_text()
    assert "asked for in its place" in guide

"""POST /generate: the plain form of simple servers, before an engine that speaks OpenAI's only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.deploy.gateway_stage import AUTHORIZED, DONE, Reply, Request, saying, stage, streaming, until

ROUTES = ["GET /v1/models", "POST /generate"]
USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
COMPLETION = {
    "id": "cmpl-1",
    "choices": [{"index": 0, "text": " a house", "finish_reason": "length"}],
    "usage": USAGE,
}


def event(text: str, reason: str | None = None) -> bytes:
    return b"data: " + json.dumps({"choices": [{"text": text, "finish_reason": reason}]}).encode() + b"\n\n"


LAST = b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n"


def lines_of(content: bytes) -> list[dict[str, Any]]:
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


async def test_it_is_not_there_unless_asked_for() -> None:
    async with stage() as (_, running):
        response = await running.client.post("/generate", headers=AUTHORIZED, json={"prompt": "x"})
        assert response.status_code == 404


async def test_a_question_is_put_to_completions_and_its_answer_put_plainly() -> None:
    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = saying(200, json.dumps(COMPLETION).encode())
        asked = {"prompt": "There is", "max_tokens": 2, "temperature": 0.7, "top_p": 0.9, "stream": False}
        headers = {**AUTHORIZED, "Content-Type": "text/plain"}
        response = await running.client.post("/generate?x=1", headers=headers, content=json.dumps(asked))
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {"text": " a house", "finish_reason": "length", "usage": USAGE}
        (request,) = upstream.requests
        assert request.target == "/v1/completions"
        assert request.header("content-type") == "application/json"
        assert json.loads(request.body) == {
            "prompt": "There is", "max_tokens": 2, "temperature": 0.7, "top_p": 0.9,
        }  # fmt: skip
        assert running.lines()[0]["path"] == "/generate"
        assert await running.metric("gateway_requests_total", endpoint="/generate", status_code="200") == 1
        assert await running.metric("gateway_tokens_generated_total") == 2


async def test_what_is_left_out_has_a_default() -> None:
    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = saying(200, json.dumps(COMPLETION).encode())
        await running.client.post("/generate", headers=AUTHORIZED, json={"prompt": "x", "top_p": None})
        assert json.loads(upstream.requests[0].body) == {"prompt": "x", "max_tokens": 256}


async def test_a_stream_is_a_line_for_all_of_the_text_so_far_and_a_last_one_with_usage() -> None:
    async with stage(routes=ROUTES) as (upstream, running):
        whole = event(" a") + event(" häuschen", "stop") + LAST + DONE
        upstream.script = streaming(*(whole[at : at + 7] for at in range(0, len(whole), 7)))
        response = await running.client.post(
            "/generate", headers=AUTHORIZED, json={"prompt": "x", "stream": True}
        )
        assert response.headers["content-type"] == "application/x-ndjson"
        assert lines_of(response.content) == [
            {"text": " a"},
            {"text": " a häuschen"},
            {"text": " a häuschen", "finish_reason": "stop", "usage": USAGE},
        ]
        assert json.loads(upstream.requests[0].body) == {
            "prompt": "x", "max_tokens": 256, "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        assert await running.metric("gateway_streams_total", outcome="completed") == 1
        assert await running.metric("gateway_time_to_first_token_seconds_count", endpoint="/generate") == 1


async def test_each_line_comes_when_its_event_does() -> None:
    go = asyncio.Event()

    async def held(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(event("one"))
        await go.wait()
        await reply.chunk(LAST + DONE)
        await reply.end()

    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = held
        body = {"prompt": "x", "stream": True}
        async with running.client.stream("POST", "/generate", headers=AUTHORIZED, json=body) as response:
            parts = response.aiter_raw()
            assert await asyncio.wait_for(anext(parts), 5) == b'{"text":"one"}\n'
            go.set()
            assert b"usage" in b"".join([part async for part in parts])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "prompt is missing"),
        ({"prompt": 1}, "prompt is of the wrong kind"),
        ({"prompt": ["x"]}, "prompt is of the wrong kind"),
        (
            {"prompt": "x", "max_tokens": "1"},
            "max_tokens must be a whole number|max_tokens is of the wrong kind",
        ),
        ({"prompt": "x", "stream": 1}, "stream is of the wrong kind"),
        ({"prompt": "x", "temperature": True}, "temperature is of the wrong kind"),
        ({"prompt": "x", "secret-sauce": 1}, "allowed: prompt, max_tokens"),
    ],
)
async def test_a_question_that_is_none_is_400_and_goes_nowhere(body: dict[str, Any], says: str) -> None:
    async with stage(routes=ROUTES) as (upstream, running):
        response = await running.client.post("/generate", headers=AUTHORIZED, json=body)
        assert response.status_code == 400
        assert any(one in response.json()["error"]["message"] for one in says.split("|"))
        assert "secret-sauce" not in response.text
        assert upstream.requests == []


async def test_an_error_of_the_engine_keeps_its_status_and_its_words() -> None:
    body = b'{"error":{"message":"no","type":"NotFoundError","param":"model","code":404}}'
    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = saying(404, body)
        asked = {"prompt": "x", "model": "none", "stream": True}
        response = await running.client.post("/generate", headers=AUTHORIZED, json=asked)
        assert (response.status_code, response.content) == (404, body)


async def test_a_stream_that_fails_ends_in_an_error_and_without_a_last_line() -> None:
    failed = b'data: {"error":{"message":"boom","code":500}}\n\n'
    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = streaming(event("one", "stop"), LAST, failed, DONE)
        response = await running.client.post(
            "/generate", headers=AUTHORIZED, json={"prompt": "x", "stream": True}
        )
        assert lines_of(response.content) == [{"text": "one"}, {"error": {"message": "boom", "code": 500}}]


async def test_a_stream_cut_in_the_middle_of_an_event_ends_in_an_error() -> None:
    async def breaks(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(event("one") + b'data: {"choices":[{"te')
        reply.writer.close()

    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = breaks
        response = await running.client.post(
            "/generate", headers=AUTHORIZED, json={"prompt": "x", "stream": True}
        )
        first, last = lines_of(response.content)
        assert first == {"text": "one"}
        assert last["error"]["code"] == 502


@pytest.mark.parametrize("body", [b"not json", b"[]", b"{}", b""])
async def test_an_answer_that_is_none_is_a_502(body: bytes) -> None:
    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = saying(200, body)
        response = await running.client.post("/generate", headers=AUTHORIZED, json={"prompt": "x"})
        assert response.status_code == 502
        assert response.json()["error"]["code"] == 502


async def test_an_answer_cut_short_is_a_502() -> None:
    async def breaks(request: Request, reply: Reply) -> None:
        await reply.head(200, "Content-Type: application/json", "Content-Length: 1000")
        await reply.raw(b'{"choices":')
        reply.writer.close()

    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = breaks
        response = await running.client.post("/generate", headers=AUTHORIZED, json={"prompt": "x"})
        assert response.status_code == 502
        assert running.lines()[0]["outcome"] == "upstream_error"


async def test_a_client_that_leaves_before_its_answer_is_whole_was_told_nothing() -> None:
    async def begins(request: Request, reply: Reply) -> None:
        await reply.head(200, "Content-Type: application/json", "Content-Length: 1000")
        await reply.raw(b'{"choices":')
        begun.set()
        await until(lambda: reply.writer.transport.is_closing(), "the gateway to leave")

    begun = asyncio.Event()
    async with stage(routes=ROUTES) as (upstream, running):
        upstream.script = begins
        asking = asyncio.create_task(
            running.client.post("/generate", headers=AUTHORIZED, json={"prompt": "x"})
        )
        await begun.wait()
        asking.cancel()
        await until(lambda: bool(running.lines()), "the request to end")
        assert (running.lines()[0]["outcome"], running.lines()[0]["status"]) == ("client_left", 499)


async def test_keys_and_bounds_hold_here_too() -> None:
    async with stage(routes=ROUTES, bounds={"max_tokens": 10}) as (upstream, running):
        assert (await running.client.post("/generate", json={"prompt": "x"})).status_code == 401
        asked = {"prompt": "x", "max_tokens": 11}
        assert (await running.client.post("/generate", headers=AUTHORIZED, json=asked)).status_code == 400
        assert (await running.client.get("/generate", headers=AUTHORIZED)).status_code == 405
        assert upstream.requests == []

"""What a client is told, and what is counted, when the engine or the client's own request fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    Reply,
    Request,
    Running,
    Upstream,
    gateway,
    stage,
    streaming,
    until,
    upstream_of,
)


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_413(declared: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    async with stage(bounds={"max_body_bytes": 1000}) as (upstream, running):
        content = b"x" * 2_000_000 if declared else pieces()
        response = await running.client.post(CHAT, headers=AUTHORIZED, content=content)
        assert response.status_code == 413
        assert response.json()["error"]["type"] == "request_too_large"
        exact = await running.client.post(CHAT, headers=AUTHORIZED, content=b"{%b}" % (b" " * 998))
        assert exact.status_code == 200
        assert len(upstream.requests) == 1


async def test_a_body_that_never_comes_is_408() -> None:
    async with stage(body_timeout_s=0.05) as (upstream, running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        key = AUTHORIZED["Authorization"]
        writer.write(
            f"POST {CHAT} HTTP/1.1\r\nHost: g\r\nAuthorization: {key}\r\nContent-Length: 5\r\n\r\nab".encode()
        )
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408")
        writer.close()
        await writer.wait_closed()
        assert upstream.requests == []


async def test_without_an_engine_the_answer_is_503_with_retry_after_at_once() -> None:
    async with stage(upstream={"url": "http://127.0.0.1:9"}) as (_, running):
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={"stream": True})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["code"] == 503
        assert await running.metric("gateway_shed_requests_total", reason="no_replica") == 1
        assert await running.metric("gateway_upstream_errors_total") == 0


async def test_an_engine_that_is_gone_since_its_last_check_is_503_with_retry_after() -> None:
    async with Upstream().running() as upstream:
        block = upstream_of(url=upstream.url, health={"every_s": 60})
        async with gateway("", upstream=block) as running:
            assert (await running.client.get("/ready")).status_code == 200
            await upstream.die()
            response = await running.client.post(CHAT, headers=AUTHORIZED, json={"stream": True})
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert await running.metric("gateway_upstream_errors_total", kind="unreachable") == 1
            assert await running.metric("gateway_shed_requests_total") == 0


async def test_an_engine_that_does_not_answer_in_time_is_504() -> None:
    async def silent(request: Request, reply: Reply) -> None:
        await asyncio.Event().wait()

    async with (
        stage() as (upstream, running),
        stage(upstream={"url": upstream.url, "read_timeout_s": 0.05}) as (_, hasty),
    ):
        upstream.script = silent
        response = await hasty.client.post(CHAT, headers=AUTHORIZED, json={})
        assert response.status_code == 504
        assert await hasty.metric("gateway_upstream_errors_total", kind="timeout") == 1
        await until(lambda: upstream.serving == 0, "the engine's request to be given up")
        assert running.lines() == []


async def test_an_engine_that_hangs_up_without_an_answer_is_502() -> None:
    async def hang_up(request: Request, reply: Reply) -> None:
        reply.cut()

    async with stage() as (upstream, running):
        upstream.script = hang_up
        assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 502
        assert await running.metric("gateway_upstream_errors_total", kind="disconnected") == 1


@pytest.mark.parametrize("last", [b'data: {"n":1}\n\n', b'data: {"n":1}\n\ndata: {"half'])
async def test_a_stream_cut_short_ends_in_an_error_event_and_without_done(last: bytes) -> None:
    async def breaks(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(last)
        reply.writer.close()  # the terminating chunk never comes

    async with stage() as (upstream, running):
        upstream.script = breaks
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={"stream": True})
        assert response.status_code == 200
        events = [event for event in response.text.split("\n\n") if event]
        assert events[0] == 'data: {"n":1}'
        assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == 502
        assert "[DONE]" not in response.text
        assert await running.metric("gateway_streams_total", outcome="upstream_error") == 1
        assert await running.metric("gateway_streams_total", outcome="completed") == 0
        assert await running.metric("gateway_upstream_errors_total", kind="cut_short") == 1


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_plain_body_cut_short_reaches_the_client_cut_short(framing: str) -> None:
    async def breaks(request: Request, reply: Reply) -> None:
        await reply.head(200, "Content-Type: application/json", framing)
        await reply.raw(b'5\r\n{"a":\r\n')
        reply.writer.close()

    async with stage() as (upstream, running):
        upstream.script = breaks
        with pytest.raises(
            httpx.RemoteProtocolError, match=r"incomplete|without sending complete message body"
        ):
            await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert running.lines()[0]["outcome"] == "upstream_error"


@pytest.mark.parametrize(
    ("chunks", "kind"),
    [
        ([b"data: 1\n\n", b'data: {"error": {"code": 500}}\n\n', DONE], "in_stream"),
        ([b"data: 1\n\n"], "no_done"),
    ],
)
async def test_a_stream_under_200_that_failed_is_not_counted_as_completed(
    chunks: list[bytes], kind: str
) -> None:
    async with stage() as (upstream, running):
        upstream.script = streaming(*chunks)
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={"stream": True})
        assert response.content == b"".join(chunks)
        assert await running.metric("gateway_streams_total", outcome="completed") == 0
        assert await running.metric("gateway_upstream_errors_total", kind=kind) == 1


async def unready(running: Running, within_s: float) -> httpx.Response:
    """The first answer of /ready that is not 200."""

    async def no_longer_ready() -> httpx.Response:
        while (answer := await running.client.get("/ready")).status_code == 200:
            pass
        return answer

    return await asyncio.wait_for(no_longer_ready(), within_s)


async def test_ready_follows_the_engine_within_a_second() -> None:
    async with stage() as (upstream, running):
        assert (await running.client.get("/ready")).status_code == 200
        upstream.health_status = 503
        answer = await unready(running, 1)
        assert answer.json() == {"ready": False, "reason": "the engine answered 503 to /health"}
        assert (await running.client.get("/health")).status_code == 200


async def test_ready_says_so_when_there_is_no_engine() -> None:
    async with stage(upstream={"url": "http://127.0.0.1:9"}) as (_, running):
        response = await running.client.get("/ready")
        assert (response.status_code, response.json()["reason"]) == (503, "the engine cannot be reached")


async def test_ready_does_not_wait_for_an_engine_that_hangs() -> None:
    async with stage() as (upstream, running):
        upstream.health_answers.clear()
        await unready(running, 5)
        answers = await asyncio.wait_for(asyncio.gather(*(running.client.get("/ready") for _ in range(3))), 2)
        assert {answer.status_code for answer in answers} == {503}
        assert answers[0].json()["reason"] == "the engine did not answer its /health within 1 s"

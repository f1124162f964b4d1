"""When a request is put to another replica, and when not: no generation is ever asked for twice."""

from __future__ import annotations

import asyncio

import pytest

from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    Hold,
    Reply,
    Request,
    Script,
    Upstream,
    answer_ok,
    fleet,
    gateway,
    saying,
    stage,
    streaming,
    until,
    upstream_of,
)

SELDOM = {"every_s": 60}
BUSY = b'{"error":{"message":"busy","type":"Service Unavailable","param":null,"code":503}}'
ENDING = b'{"error":{"message":"cannot schedule new futures after shutdown","type":"InternalServerError"}}'
# What vLLM says of a generation that had begun and was given up.
GIVEN_UP = b'{"error":{"message":"retry","type":"ServiceUnavailableError","param":null,"code":503}}'


async def cut_before_answering(request: Request, reply: Reply) -> None:
    reply.cut()


async def cut_after_the_head(request: Request, reply: Reply) -> None:
    await reply.head(200, "Content-Type: application/json", "Content-Length: 100")
    reply.cut()


async def cut_in_the_stream(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.chunk(b"data: 1\n\n")
    reply.cut()


async def never(request: Request, reply: Reply) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (cut_before_answering, 502),
        (cut_in_the_stream, 200),
        (never, 504),
        (saying(500, b"{}"), 500),
        (saying(500, b'{"error":{"message":"out of memory"}}'), 500),
        (saying(500, b'{"error":{"message":["a list"]}}'), 500),
        (saying(503, GIVEN_UP), 503),
        (saying(503, b"not JSON"), 503),
        (saying(429, BUSY), 429),
    ],
)
async def test_a_post_that_a_replica_may_have_begun_is_not_put_to_another(
    script: Script, status: int
) -> None:
    async with fleet(2, {"health": SELDOM, "read_timeout_s": 0.2, "retries": 5}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = script
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={"stream": True})
        assert response.status_code == status
        assert sum(len(upstream.requests) for upstream in upstreams) == 1
        assert await running.metric("gateway_upstream_retries_total") == 0


async def test_an_answer_cut_short_after_its_head_is_not_asked_for_again() -> None:
    async with fleet(2, {"health": SELDOM, "retries": 5}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = cut_after_the_head
        with pytest.raises(Exception, match=r"incomplete|without sending complete"):
            await running.client.get("/v1/models", headers=AUTHORIZED)
        assert sum(len(upstream.requests) for upstream in upstreams) == 1


async def test_a_refusal_at_the_admission_limit_goes_to_another_replica() -> None:
    async with fleet(2, {"health": SELDOM}) as (upstreams, running):
        upstreams[0].script = saying(503, BUSY)
        upstreams[1].script = streaming(b"data: 1\n\n", DONE)
        for _ in range(4):
            response = await running.client.post(CHAT, headers=AUTHORIZED, json={"stream": True})
            assert (response.status_code, response.content) == (200, b"data: 1\n\n" + DONE)
        retried = await running.metric("gateway_upstream_retries_total", reason="overloaded")
        assert retried == len(upstreams[0].requests) > 0
        assert await running.metric("gateway_upstream_errors_total", kind="status_5xx") == retried
        assert len(upstreams[1].requests) == 4


async def test_a_replica_that_is_ending_is_left_for_another_and_then_alone() -> None:
    """Twice told so is as good as two failed checks: after that nobody is sent there."""
    async with fleet(2, {"health": SELDOM}) as (upstreams, running):
        upstreams[0].script = saying(500, ENDING)
        for _ in range(6):
            assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 200
        assert len(upstreams[0].requests) == 2
        assert await running.metric("gateway_upstream_retries_total", reason="ending") == 2
        assert await running.metric("gateway_upstream_healthy", replica=upstreams[0].url) == 0


async def test_where_the_only_replica_is_ending_no_engine_is_ready() -> None:
    async with fleet(1, {"health": SELDOM}) as (upstreams, running):
        upstreams[0].script = saying(500, ENDING)
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert len(upstreams[0].requests) == 1


@pytest.mark.parametrize(("retries", "asked"), [(0, 1), (1, 2), (2, 3), (9, 4)])
async def test_so_many_others_are_tried_and_none_twice(retries: int, asked: int) -> None:
    async with fleet(4, {"health": SELDOM, "retries": retries}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = saying(503, BUSY)
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert (response.status_code, response.content) == (503, BUSY)  # as the last one said it
        assert sorted(len(upstream.requests) for upstream in upstreams) == [0] * (4 - asked) + [1] * asked
        assert await running.metric("gateway_upstream_retries_total") == asked - 1


async def test_a_replica_that_takes_no_connection_costs_nothing_but_a_retry() -> None:
    async with fleet(2, {"health": SELDOM}) as (upstreams, running):
        assert (await running.client.get("/ready")).status_code == 200
        await upstreams[0].die()
        for _ in range(4):
            assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 200
        assert len(upstreams[1].requests) == 4
        # twice refused is as good as two failed checks: after that nobody is sent there
        assert await running.metric("gateway_upstream_retries_total", reason="unreachable") == 2
        assert await running.metric("gateway_upstream_errors_total", kind="unreachable") == 2
        assert await running.metric("gateway_upstream_healthy", replica=upstreams[0].url) == 0


async def test_a_question_that_changes_nothing_is_asked_again_when_no_answer_came() -> None:
    async with fleet(2, {"health": SELDOM}) as (upstreams, running):
        upstreams[0].script = cut_before_answering
        for _ in range(2):
            assert (await running.client.get("/v1/models", headers=AUTHORIZED)).status_code == 200
        assert await running.metric("gateway_upstream_retries_total", reason="idempotent") == 2


class Deaf:
    """Takes connections and reads nothing, and resets the first when told."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.reset = asyncio.Event()
        self.bytes_read = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
            await reader.read()
        else:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            self.connected.set()
            await self.reset.wait()
            writer.transport.abort()
        writer.close()


async def test_a_request_that_was_not_wholly_sent_goes_to_another_replica() -> None:
    deaf = Deaf()
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Upstream().running() as other:
        bounds = {"max_body_bytes": 30_000_000}
        block = upstream_of(replicas=[url, other.url], health=SELDOM)
        async with gateway("", upstream=block, bounds=bounds) as running:
            body = b'{"padding":"%b"}' % (b"x" * 20_000_000)  # more than both sockets' buffers hold
            asking = asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, content=body))
            await asyncio.wait_for(deaf.connected.wait(), 10)
            deaf.reset.set()
            response = await asyncio.wait_for(asking, 20)
            assert response.status_code == 200
            assert [len(request.body) for request in other.requests] == [len(body)]
            assert await running.metric("gateway_upstream_retries_total", reason="unsent") == 1
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("script", [never, Hold()])
async def test_a_client_that_leaves_is_not_retried_and_not_held_against_the_replica(script: Script) -> None:
    outlier = {"failures": 1, "most_ejected_share": 1.0, "ejected_s": 60}
    async with fleet(2, {"health": SELDOM, "outlier": outlier}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = script
        asking = asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={}))
        await until(lambda: sum(one.serving for one in upstreams) == 1, "the request at a replica")
        asking.cancel()
        await until(lambda: sum(one.serving for one in upstreams) == 0, "the replica to be freed")
        await until(lambda: bool(running.lines()), "the request's line")
        assert sum(len(one.requests) for one in upstreams) == 1
        assert await running.metric("gateway_upstream_ejections_total") == 0
        assert await running.metric("gateway_upstream_in_flight") == 0


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", 200),  # ends where the connection does
        (b"HTTP/1.0 200 OK\r\n\r\n{}", 200),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nTrailer: t\r\n\r\n", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 2", 502),
        (b"SSH-2.0-OpenSSH\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 502),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, 502),
    ],
)
async def test_each_way_in_which_an_answer_can_end_or_not_be_one(raw: bytes, status: int) -> None:
    async def script(request: Request, reply: Reply) -> None:
        await reply.raw(raw)
        reply.writer.close()

    async with stage() as (upstream, running):
        upstream.script = script
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert response.status_code == status
        if status == 200:
            assert response.content == b"{}"
            assert "trailer" not in response.headers
        upstream.script = answer_ok
        assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 200


async def test_what_a_replica_says_out_of_turn_reaches_nobody() -> None:
    async def twice(request: Request, reply: Reply) -> None:
        await reply.whole(200, b'{"n":1}')
        await reply.whole(200, b'{"n":2}')

    async with stage() as (upstream, running):
        upstream.script = twice
        for _ in range(3):
            response = await running.client.post(CHAT, headers=AUTHORIZED, json={})
            assert response.json() == {"n": 1}
        assert len(upstream.requests) == 3

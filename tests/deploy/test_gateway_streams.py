"""Many streams, slow ones, and clients that leave: nothing is held back and nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from deploy.gateway import intake, pool
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    Reply,
    Request,
    fleet,
    stage,
    streaming,
    until,
)
from tests.deploy.test_gateway_tls import block, client_speaking


async def test_an_event_arrives_before_the_next_is_sent() -> None:
    arrived = asyncio.Event()

    async def one_by_one(request: Request, reply: Reply) -> None:
        await reply.stream()
        for n in range(20):
            arrived.clear()
            await reply.chunk(b"data: %d\n\n" % n)
            await asyncio.wait_for(arrived.wait(), 2)  # a gateway that gathers events would never get further
        await reply.chunk(DONE)
        await reply.end()

    async with stage() as (upstream, running):
        upstream.script = one_by_one
        seen = []
        async with running.chat() as response:
            async for part in response.aiter_raw():
                seen.append(part)
                arrived.set()
        assert seen[:20] == [b"data: %d\n\n" % n for n in range(20)]


async def test_a_client_that_leaves_a_stream_frees_the_engine_at_once() -> None:
    async def endless(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(b"data: 1\n\n")
        await asyncio.Event().wait()

    async with stage() as (upstream, running):
        upstream.script = endless
        async with running.chat() as response:
            await anext(response.aiter_raw())
            assert await running.metric("gateway_active_requests") == 1
        assert await until(lambda: upstream.serving == 0, "the engine to be freed") < 0.5
        await until(lambda: bool(running.lines()), "the request's line")
        assert running.lines()[0]["outcome"] == "client_left"
        assert await running.metric("gateway_active_requests") == 0
        assert await running.metric("gateway_client_disconnects_total") == 1
        assert await running.metric("gateway_streams_total", outcome="client_left") == 1


async def test_a_client_that_leaves_before_the_first_header_frees_the_engine_at_once() -> None:
    async def silent(request: Request, reply: Reply) -> None:
        await asyncio.Event().wait()

    async with stage() as (upstream, running):
        upstream.script = silent
        asking = asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={}))
        await until(lambda: upstream.serving == 1, "the request at the engine")
        asking.cancel()
        assert await until(lambda: upstream.serving == 0, "the engine to be freed") < 0.5
        await until(lambda: bool(running.lines()), "the request's line")
        assert running.lines()[0]["status"] == 499
        assert await running.metric("gateway_active_requests") == 0
        assert await running.metric("gateway_requests_total", status_code="499") == 1


@pytest.mark.parametrize("with_headers", [True, False])
async def test_fifty_clients_that_leave_leave_nothing_behind(
    with_headers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(request: Request, reply: Reply) -> None:
        if with_headers:
            await reply.stream()
        await asyncio.Event().wait()

    monkeypatch.setattr(pool, "MAX_CONNECTIONS", 60)  # a connection lost count of would be missed below
    async with stage() as (upstream, running):

        def fifty() -> list[asyncio.Task[httpx.Response]]:
            return [
                asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={})) for _ in range(50)
            ]

        upstream.script = endless
        asking = fifty()
        await until(lambda: upstream.serving == 50, "fifty requests at the engine")
        for task in asking:
            task.cancel()
        await until(lambda: upstream.serving == 0, "the engine to be freed")
        upstream.script = streaming(DONE)
        assert {answer.status_code for answer in await asyncio.gather(*fifty())} == {200}
        assert await running.metric("gateway_active_requests") == 0
        assert await running.metric("gateway_client_disconnects_total") == 50


async def test_the_gauge_is_true_until_the_stream_ends() -> None:
    finish = asyncio.Event()

    async def two_parts(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(b"data: 1\n\n")
        await finish.wait()
        await reply.chunk(DONE)
        await reply.end()

    async with stage() as (upstream, running):
        upstream.script = two_parts
        async with running.chat() as response:
            parts = response.aiter_raw()
            await anext(parts)
            assert await running.metric("gateway_active_requests") == 1
            finish.set()
            assert b"".join([part async for part in parts]) == DONE
        assert await running.metric("gateway_active_requests") == 0
        assert await running.metric("gateway_streams_total", outcome="completed") == 1


async def test_a_connection_that_the_engine_closed_is_not_used_again() -> None:
    async with fleet(1, {"health": {"every_s": 60}}) as ((upstream,), running):
        for _ in range(10):
            assert (await running.client.get("/v1/models", headers=AUTHORIZED)).status_code == 200
            upstream.hang_up()
            await until(lambda: upstream.open_connections == 0, "the engine's connections to end")


async def test_connections_to_the_engine_are_kept_and_used_again() -> None:
    async with stage() as (upstream, running):
        upstream.script = streaming(DONE)
        for _ in range(5):
            await asyncio.gather(*(running.client.post(CHAT, headers=AUTHORIZED, json={}) for _ in range(4)))
        assert len(upstream.requests) == 20
        assert upstream.connections <= 5  # one was for the question at the start


async def test_a_client_that_does_not_read_holds_the_engine_back_not_our_memory() -> None:
    sent = 0

    async def flood(request: Request, reply: Reply) -> None:
        nonlocal sent
        await reply.stream()
        while True:
            await reply.chunk(b"x" * 65536)
            sent += 65536

    async def stands_still() -> None:
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)

    async with stage() as (upstream, running):
        upstream.script = flood
        async with running.chat() as response:
            assert response.status_code == 200
            await asyncio.wait_for(stands_still(), 5)
            assert sent < 50_000_000  # the sockets' own buffers, and no more
        await until(lambda: upstream.serving == 0, "the engine to be freed")


async def flood(request: Request, reply: Reply) -> None:
    await reply.stream()
    while True:
        await reply.chunk(b"x" * 65536)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_that_reads_no_more_is_let_go_and_a_slow_one_is_not(
    tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "STALL_TIMEOUT_S", 0.5)
    authority = trustme.CA()
    settings = {"tls": block(tmp_path, authority, "1.2")} if tls else {}
    context = client_speaking(authority, ssl.TLSVersion.TLSv1_3) if tls else None
    async with stage(**settings) as (upstream, running):
        upstream.script = flood
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=context, server_hostname=name, limit=1 << 20
        )
        key = AUTHORIZED["Authorization"]
        head = f"POST {CHAT} HTTP/1.1\r\nHost: g\r\nAuthorization: {key}\r\nContent-Length: 2\r\n\r\n{{}}"
        writer.write(head.encode())
        for _ in range(60):  # three times the bound, and slower than it comes: all buffers are full
            assert await reader.readexactly(400_000)
            await asyncio.sleep(0.025)
        assert upstream.serving == 1
        await until(lambda: upstream.serving == 0, "the engine to be freed")
        await until(lambda: bool(running.lines()), "the request's line")
        assert running.lines()[0]["outcome"] == "client_left"
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_events_are_not_held_back_for_acknowledgements() -> None:
    async with stage() as (_, running):
        await running.client.get("/health")
        (connection,) = running.gateway._api.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_five_hundred_streams_at_once_all_end_well() -> None:
    go = asyncio.Event()

    async def held(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(b"data: 1\n\n")
        await go.wait()
        await reply.chunk(DONE)
        await reply.end()

    async with stage() as (upstream, running):
        upstream.script = held

        async def ask() -> bytes:  # a bare socket each: the client's own pool would be what is measured
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            key = f"Authorization: {AUTHORIZED['Authorization']}"
            head = f"POST {CHAT} HTTP/1.1\r\nHost: g\r\n{key}\r\nConnection: close\r\nContent-Length: 2"
            writer.write(f"{head}\r\n\r\n{{}}".encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        asking = [asyncio.create_task(ask()) for _ in range(512)]
        await until(lambda: upstream.serving == 512, "512 streams at the engine", 30)
        assert await running.metric("gateway_active_requests") == 512
        go.set()
        answers = await asyncio.gather(*asking)
        assert all(
            answer.endswith(b"9\r\ndata: 1\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n") for answer in answers
        )
        assert await running.metric("gateway_streams_total", outcome="completed") == 512
        assert await running.metric("gateway_active_requests") == 0

"""The connections themselves, on both event loops: what is unsent, held back, late, endless, or not HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import uvloop

from deploy.gateway import intake
from deploy.gateway.pool import Pool
from deploy.gateway.wire import ReplicaFailed
from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import AUTHORIZED, CHAT, Upstream, settings_of, stage
from tests.deploy.test_gateway_tls import block, client_speaking, status_line

Loop = Callable[[], asyncio.AbstractEventLoop]
Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
both_loops = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def on(loop: Loop, coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(coroutine, 20))


@contextlib.asynccontextmanager
async def pool_of(served: Served) -> AsyncIterator[Pool]:
    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(f"http://127.0.0.1:{port}", ssl.create_default_context(), 2, 5)
    yield pool
    pool.close()
    server.close()
    await asyncio.sleep(0.01)


@both_loops
@pytest.mark.parametrize(("size", "whole"), [(1_000, True), (30_000_000, False)])
def test_a_lost_connection_knows_whether_the_request_had_left_whole(
    loop: Loop, size: int, whole: bool
) -> None:
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1_000)
        writer.transport.abort()

    async def lost() -> None:
        async with pool_of(resets) as pool:
            wire = await pool.taken()
            with pytest.raises(ReplicaFailed) as caught:
                await wire.ask(b"x" * size)
            pool.give_back(wire)
            assert (caught.value.kind, caught.value.whole_request_sent) == ("disconnected", whole)

    on(loop, lost())


@both_loops
def test_what_is_written_is_not_held_back_for_acknowledgements(loop: Loop) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()
        writer.close()

    async def asked() -> None:
        async with pool_of(answers) as pool:
            wire = await pool.taken()
            assert wire._transport is not None
            connection = wire._transport.get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert (await wire.ask(b"GET / HTTP/1.1\r\n\r\n")).status == 200
            assert (await wire.read(), await wire.read()) == (b"{}", b"")
            pool.give_back(wire)
            assert await pool.taken() is wire
            pool.give_back(wire)

    on(loop, asked())


@both_loops
def test_a_reader_that_waits_too_long_is_told_so_and_a_slow_one_is_not(loop: Loop) -> None:
    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        for _ in range(8):
            writer.write(b"x")
            await asyncio.sleep(0.1)
        await reader.read()
        writer.close()

    async def asked() -> None:
        async with pool_of(drips) as pool:
            pool._read_timeout_s = 0.3
            wire = await pool.taken()
            await wire.ask(b"GET / HTTP/1.1\r\n\r\n")
            got: list[bytes] = []

            async def read_all() -> None:
                while True:
                    got.append(await wire.read())

            with pytest.raises(ReplicaFailed) as caught:
                await read_all()
            assert b"".join(got) == b"x" * 8  # 0.8 s of dripping was no time-out
            assert caught.value.kind == "timeout"
            pool.give_back(wire)

    on(loop, asked())


async def test_the_alert_of_a_refused_handshake_arrives_on_uvloop_too(tmp_path: Path) -> None:
    authority = trustme.CA()
    document = settings_of("http://127.0.0.1:9", tls=block(tmp_path, authority, "1.2"))
    async with process(tmp_path, document) as started:
        port = httpx.URL(await started.listening()).port
        assert port is not None
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            await status_line(port, client_speaking(authority, ssl.TLSVersion.TLSv1_1))
        line, version = await status_line(port, client_speaking(authority, ssl.TLSVersion.TLSv1_2))
        assert (line, version) == (b"HTTP/1.1 200 OK\r\n", "TLSv1.2")


async def test_the_gateway_itself_runs_on_uvloop_and_streams(tmp_path: Path) -> None:
    async with (
        Upstream().running() as upstream,
        process(tmp_path, settings_of(upstream.url)) as started,
        httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
    ):
        body = b'{"padding":"%b"}' % (b"x" * 3_000_000)
        response = await client.post(CHAT, headers=AUTHORIZED, content=body)
        assert (response.status_code, response.content) == (200, b'{"ok":true}')
        assert upstream.requests[0].body == body


async def raw_answer(port: int, *pieces: bytes) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:  # closed while something of ours was still unread
        pass
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
    return answer


async def test_headers_without_an_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "HEAD_BOUND_BYTES", 20_000)
    async with stage() as (_, running):
        long = b"GET /health HTTP/1.1\r\nHost: g\r\nX: " + b"x" * 40_000
        assert (await raw_answer(running.port, long)).startswith(b"HTTP/1.1 431 ")
        many = b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 10_000
        assert (await raw_answer(running.port, many)).startswith(b"HTTP/1.1 431 ")
        whole = b"GET /health HTTP/1.1\r\nConnection: close\r\nX: " + b"x" * 10_000 + b"\r\n\r\n"
        assert (await raw_answer(running.port, whole)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "headers",
    [
        b"Host: a\r\nHost: b\r\n\r\n",
        b"Host: a\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["two-hosts", "two-codings", "an-unknown-coding"],
)
async def test_what_two_servers_might_read_differently_ends_the_connection(headers: bytes) -> None:
    following = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with stage() as (upstream, running):
        answer = await raw_answer(running.port, b"POST /v1/models HTTP/1.1\r\n" + headers + following)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert upstream.requests == []


@pytest.mark.parametrize("said", [b"", b"GET /health HTTP/1.1\r\nHost:"])
async def test_a_client_that_does_not_finish_its_headers_does_not_stay(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "HEAD_TIMEOUT_S", 0.2)
    async with stage() as (_, running):
        assert (await raw_answer(running.port, said)).startswith(b"HTTP/1.1 408 ")
        assert (await running.client.get("/health")).status_code == 200
        await asyncio.sleep(0.4)  # a connection that has asked once may be idle for longer than that
        connections = len(running.gateway._api.server_state.connections)
        assert connections == 1


async def test_what_is_not_http_is_400_in_the_envelope() -> None:
    async with stage() as (upstream, running):
        for wrong in (
            b"hello\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        ):
            answer = await raw_answer(running.port, wrong)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b'"error": {' in answer
        smuggled = (
            b"POST /v1/models HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert (await raw_answer(running.port, smuggled)).startswith(b"HTTP/1.1 400 ")
        assert upstream.requests == []

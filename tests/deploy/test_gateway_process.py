"""The gateway as a process: signals, ports, exit codes, what it leaves on stderr."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    ENVIRONMENT,
    Reply,
    Request,
    Upstream,
    settings_of,
)


class Held:
    """A stream that stands still until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(b"data: 1\n\n")
        await self.go.wait()
        await reply.chunk(DONE)
        await reply.end()


async def test_sigterm_lets_streams_end_refuses_newcomers_and_exits_0(tmp_path: Path) -> None:
    async with (
        Upstream().running() as upstream,
        process(tmp_path, settings_of(upstream.url)) as started,
        httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
    ):
        upstream.script = held = Held()
        # two at once: two connections, one for the stream and one to ask with when no new one is taken
        await asyncio.gather(client.get("/health"), client.get("/health"))
        async with client.stream("POST", CHAT, headers=AUTHORIZED, json={}) as response:
            parts = response.aiter_raw()
            assert await anext(parts) == b"data: 1\n\n"
            started.signal(signal.SIGTERM)
            await refused(client.base_url)
            ready = await client.get("/ready")
            assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
            late = await client.get("/v1/models", headers=AUTHORIZED)
            assert (late.status_code, late.headers["connection"]) == (503, "close")
            held.go.set()
            assert b"".join([part async for part in parts]) == DONE
        assert await started.exit_code() == 0
    assert any(json.loads(line)["event"] == "drained" for line in started.stderr)


async def refused(url: httpx.URL) -> None:
    """Returns once a new connection is refused."""

    async def knock() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection(url.host, url.port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # was in the queue of the socket that closed
                continue
            writer.close()

    await asyncio.wait_for(knock(), 3)


async def test_a_stream_longer_than_the_drain_is_cut_with_an_error_event(tmp_path: Path) -> None:
    async with (
        Upstream().running() as upstream,
        process(tmp_path, settings_of(upstream.url, drain_timeout_s=0.2)) as started,
        httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
    ):
        upstream.script = Held()
        async with client.stream("POST", CHAT, headers=AUTHORIZED, json={}) as response:
            parts = response.aiter_raw()
            await anext(parts)
            started.signal(signal.SIGTERM)
            rest = b"".join([part async for part in parts])
        assert json.loads(rest.strip().removeprefix(b"data: "))["error"]["code"] == 503
        assert b"[DONE]" not in rest
        assert await started.exit_code() == 0
    lines = [json.loads(line) for line in started.stderr]
    assert [line["cut"] for line in lines if line["event"] == "drain_cut"] == [1]
    assert [line["outcome"] for line in lines if line["event"] == "request"] == ["cut_by_shutdown"]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, second: signal.Signals) -> None:
    async with (
        Upstream().running() as upstream,
        process(tmp_path, settings_of(upstream.url, drain_timeout_s=60)) as started,
        httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
    ):
        upstream.script = Held()
        async with client.stream("POST", CHAT, headers=AUTHORIZED, json={}) as response:
            await anext(response.aiter_raw())
            started.signal(signal.SIGTERM)
            await refused(client.base_url)
            began = time.monotonic()
            started.signal(second)
            assert await started.exit_code() == 128 + second
            assert time.monotonic() - began < 2


@pytest.mark.parametrize("field", ["listen", "metrics"])
async def test_a_taken_port_is_one_clear_line_and_exit_3(tmp_path: Path, field: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        document = settings_of("http://127.0.0.1:1", **{field: {"port": port}})
        async with process(tmp_path, document) as started:
            assert await started.exit_code() == 3
    (line,) = started.stderr
    assert f"expected {field} 127.0.0.1:{port} to be free, saw 'Address already in use'; try another" in line


async def test_a_missing_file_exits_2(tmp_path: Path) -> None:
    async with process(tmp_path, "listen: [") as started:
        assert await started.exit_code() == 2
    assert any("is not YAML" in line for line in started.stderr)


async def test_every_line_of_stderr_is_json_and_none_holds_a_secret(tmp_path: Path) -> None:
    async with (
        Upstream().running() as upstream,
        process(tmp_path, settings_of(upstream.url)) as started,
        httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
    ):
        assert (await client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 200
        assert (await client.post(CHAT, headers={"X-API-Key": "nope"}, json={})).status_code == 401
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"this is not HTTP\r\n\r\n")  # makes uvicorn speak up
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        started.signal(signal.SIGTERM)
        assert await started.exit_code() == 0
    lines = [json.loads(line) for line in started.stderr]
    assert all({"ts", "level", "event"} <= set(line) for line in lines)
    assert [line["outcome"] for line in lines if line["event"] == "request"] == ["completed", "unauthorized"]
    assert not any(secret in line for line in started.stderr for secret in ENVIRONMENT.values())

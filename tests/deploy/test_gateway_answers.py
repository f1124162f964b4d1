"""What replicas may answer and what they may not: framing, statuses, forms of streams; whose fault it is."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvloop

from deploy.gateway import __main__ as program
from deploy.gateway import pool
from deploy.gateway.health import HealthChecks
from deploy.gateway.pool import Pool
from deploy.gateway.tail import Tail, Usage
from deploy.gateway.wire import ReplicaFailed
from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    ROOT,
    Hold,
    Reply,
    Request,
    Running,
    Upstream,
    answer_ok,
    fleet,
    gateway,
    saying,
    settings_of,
    stage,
    streaming,
    until,
    upstream_of,
)

STREAMED = ["POST /v1/responses", "POST /v1/messages", "POST /v1/completions"]
EJECTS_AT_ONCE = {"failures": 1, "ejected_s": 60, "most_ejected_share": 1.0}
SELDOM = {"every_s": 60}


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 99 What\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_passed_on_in_none(raw: bytes) -> None:
    async def script(request: Request, reply: Reply) -> None:
        await reply.raw(raw)
        await asyncio.Event().wait()

    async with stage() as (upstream, running):
        upstream.script = script
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert (response.status_code, response.json()["error"]["type"]) == (502, "upstream_error")
        assert "x" not in response.headers
        assert running.lines("mistake") == []
        upstream.script = answer_ok
        assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).json() == {"ok": True}


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_may_still_name_a_length(status: int) -> None:
    async def script(request: Request, reply: Reply) -> None:
        await reply.head(status, "Content-Length: 5", "ETag: e")

    async with stage() as (upstream, running):
        upstream.script = script
        for _ in range(2):
            response = await running.client.get("/v1/models", headers=AUTHORIZED)
            assert (response.status_code, response.content) == (status, b"")
            assert (response.headers["etag"], response.headers.get("content-length")) == ("e", None)
        assert [line["outcome"] for line in running.lines()] == ["completed"] * 2


# Forms whose end is an event of their own: `response.completed` repeats all that was generated.
RESPONSES_END = (
    b'event: response.completed\ndata: {"type":"response.completed","response":{"output":"%b"}}\n\n'
)
MESSAGES_END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
MESSAGES_ERROR = b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"no"}}\n\n'


@pytest.mark.parametrize(
    ("path", "last", "outcome", "kind"),
    [
        ("/v1/responses", RESPONSES_END % (b"a" * 20_000), "completed", None),
        ("/v1/messages", MESSAGES_END, "completed", None),
        ("/v1/messages", MESSAGES_ERROR, "upstream_error", "in_stream"),
        ("/v1/responses", b'event: response.failed\ndata: {"type":"x"}\n\n', "upstream_error", "in_stream"),
        ("/v1/completions", b"data: {}\n\n", "upstream_error", "no_done"),
    ],
)
async def test_a_stream_ends_well_in_the_way_of_its_form(
    path: str, last: bytes, outcome: str, kind: str | None
) -> None:
    block = {"health": SELDOM, "outlier": EJECTS_AT_ONCE}
    async with fleet(1, block, routes=STREAMED) as ((upstream,), running):
        upstream.script = streaming(b'event: x\ndata: {"type":"x"}\n\n', last)
        await running.client.post(path, headers=AUTHORIZED, json={"stream": True})
        await until(lambda: bool(running.lines()), "the request's line")
        (line,) = running.lines()
        assert (line["outcome"], line["upstream_error"]) == (outcome, kind)
        assert await running.metric("gateway_upstream_ejections_total") == float(kind is not None)


def test_tokens_are_read_in_the_words_of_each_form() -> None:
    tail = Tail()
    tail.add(b'event: message_delta\ndata: {"usage":{"input_tokens":7,"output_tokens":3}}\n\n' + MESSAGES_END)
    assert tail.usage() == Usage(7, 3)


async def test_what_a_model_cannot_do_is_held_against_no_replica() -> None:
    async with fleet(2, {"health": SELDOM, "outlier": EJECTS_AT_ONCE}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = saying(501, b"{}")
        for _ in range(4):
            assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 501
        assert await running.metric("gateway_upstream_ejections_total") == 0


async def test_our_own_bound_of_connections_is_held_against_no_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "MAX_CONNECTIONS", 1)
    async with fleet(2, {"health": SELDOM, "outlier": EJECTS_AT_ONCE}) as (upstreams, running):
        hold = Hold()
        for upstream in upstreams:
            upstream.script = hold
        asking = [
            asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={})) for _ in range(2)
        ]
        await until(lambda: sum(one.serving for one in upstreams) == 2, "both full")
        third = await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert (third.status_code, third.headers["retry-after"]) == (503, "1")
        assert await running.metric("gateway_upstream_ejections_total") == 0
        assert await running.metric("gateway_upstream_healthy") == 2
        hold.go.set()
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}


async def test_without_descriptors_a_connection_fails_by_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none_left(*args: object, **options: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", none_left)
    with pytest.raises(ReplicaFailed) as caught:
        await Pool("http://127.0.0.1:9", ssl.create_default_context(), 1, 1).taken()
    assert (caught.value.kind, caught.value.ours, caught.value.refused) == ("unreachable", True, False)


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """An https:// URL behind which connections are taken and no handshake is answered."""
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ended.set()
    server.close()


async def stalled_refusal(request: Request, reply: Reply) -> None:
    await reply.head(503, "Content-Type: application/json", "Content-Length: 90")
    await asyncio.Event().wait()


def at_rest(running: Running) -> bool:
    replicas = running.gateway._upstream.replicas
    return replicas.in_flight == 0 and all(one.pool._open == len(one.pool._idle) for one in replicas.all)


async def left(running: Running, asking: asyncio.Task[httpx.Response]) -> None:
    """The client of this request leaves; returns when nothing of it is left."""
    asking.cancel()
    await until(lambda: bool(running.lines()), "the request's line")
    assert running.lines()[0]["outcome"] == "client_left"
    await until(lambda: at_rest(running), "its connection to be let go")
    assert await running.metric("gateway_active_requests") == 0


async def test_a_client_that_leaves_while_we_connect_leaves_nothing_behind() -> None:
    async with deaf() as url:
        block = upstream_of(url=url, connect_timeout_s=30, health={"every_s": 60, "timeout_s": 0.1})
        async with gateway("", upstream=block) as running:
            asking = asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={}))
            await running.reading("gateway_upstream_in_flight", 1)
            await left(running, asking)


async def test_a_client_that_leaves_while_a_refusal_is_read_leaves_nothing_behind() -> None:
    async with fleet(2, {"health": SELDOM}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = stalled_refusal
        asking = asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={}))
        await until(lambda: sum(one.serving for one in upstreams) == 1, "the first refusal")
        await left(running, asking)
        assert sum(len(one.requests) for one in upstreams) == 1


async def test_checks_that_end_by_a_mistake_end_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistake(self: HealthChecks, replica: object) -> None:
        raise ZeroDivisionError("a mistake")

    async def ends() -> None:
        async with stage() as (_, running):
            assert (await running.client.get("/ready")).status_code == 200
            monkeypatch.setattr(HealthChecks, "_check", mistake)
            await until(lambda: bool(running.lines("drained")), "the end")

    with pytest.raises(ExceptionGroup, match="TaskGroup") as caught:
        await ends()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


def test_without_uvloop_there_is_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program._loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert program._loop_factory() is None


def test_it_takes_all_the_descriptors_that_it_may_have() -> None:
    code = (
        "import resource as r; _, most = r.getrlimit(r.RLIMIT_NOFILE);"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, most));"
        "from deploy.gateway.__main__ import _allow_descriptors as allow; allow();"
        "print(r.getrlimit(r.RLIMIT_NOFILE) == (most, most))"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "True"


async def test_a_signal_during_the_first_checks_is_an_orderly_end(tmp_path: Path) -> None:
    async with Upstream().running() as upstream:
        upstream.health_answers.clear()
        block = upstream_of(url=upstream.url, health={"timeout_s": 0.5})
        async with process(tmp_path, settings_of("", upstream=block)) as started:
            await started.listening()
            started.signal(signal.SIGTERM)
            assert await started.exit_code() == 0
        assert [json.loads(line)["event"] for line in started.stderr] == ["listening", "draining", "drained"]

"""The stage of the gateway's tests: a scripted upstream, a gateway before it, bounded waits; real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy.gateway.logs import json_logger
from deploy.gateway.server import Gateway
from deploy.gateway.settings import parse

ROOT = Path(__file__).parents[2]
SECRET = "sk-client-3f9a"
UPSTREAM_SECRET = "sk-engine-71cc"
ENVIRONMENT = {"GATEWAY_KEY": SECRET, "SECOND_KEY": "sk-second-08d1", "ENGINE_KEY": UPSTREAM_SECRET}
AUTHORIZED = {"Authorization": f"Bearer {SECRET}"}
CHAT = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"


async def until(condition: Callable[[], bool], what: str, within_s: float = 5.0) -> float:
    """Wait for a condition; returns the seconds it took, fails with what was waited for."""
    started = time.perf_counter()
    while not condition():
        if time.perf_counter() - started > within_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        await asyncio.sleep(0.002)
    return time.perf_counter() - started


@dataclass
class Request:
    """What the upstream was asked."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Reply:
    """The upstream's pen: everything is written at once and flushed."""

    writer: asyncio.StreamWriter

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int, *headers: str) -> None:
        lines = "".join(f"{line}\r\n" for line in headers)
        await self.raw(f"HTTP/1.1 {status} Said So\r\n{lines}\r\n".encode())

    async def stream(self) -> None:
        await self.head(200, "Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked")

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def whole(self, status: int, body: bytes, *headers: str) -> None:
        kind = (
            ()
            if any(line.lower().startswith("content-type") for line in headers)
            else ("Content-Type: application/json",)
        )
        await self.head(status, f"Content-Length: {len(body)}", *kind, *headers)
        await self.raw(body)

    def cut(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()


Script = Callable[[Request, Reply], Awaitable[None]]


async def answer_ok(request: Request, reply: Reply) -> None:
    """The default script."""
    await reply.whole(200, b'{"ok":true}')


def saying(status: int, body: bytes, *headers: str) -> Script:
    """A script that answers every request so."""

    async def script(request: Request, reply: Reply) -> None:
        await reply.whole(status, body, *headers)

    return script


def streaming(*chunks: bytes) -> Script:
    """A script that streams these chunks and ends in good order."""

    async def script(request: Request, reply: Reply) -> None:
        await reply.stream()
        for chunk in chunks:
            await reply.chunk(chunk)
        await reply.end()

    return script


class Upstream:
    """An HTTP/1.1 server on a free port that answers as the script of the test says."""

    def __init__(self) -> None:
        self.script: Script = answer_ok
        self.health_status = 200
        self.models = ["tiny"]
        self.health_asked = 0
        self.health_answers = asyncio.Event()
        self.health_answers.set()
        self.requests: list[Request] = []
        self.serving = 0
        self.connections = 0
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self._port = 0

    def hang_up(self) -> None:
        """Close every connection, as an engine does with idle ones."""
        for writer in self._writers:
            writer.close()

    @property
    def open_connections(self) -> int:
        return len(self._writers)

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
        await self.live(tls)
        try:
            yield self
        finally:
            await self.die()

    async def live(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; after a death, where it did before."""
        # The backlog is that of vLLM's server; the default of 100 loses a burst's connections for seconds.
        self._server = await asyncio.start_server(
            self._connection, "127.0.0.1", self._port, ssl=tls, limit=1 << 20, backlog=2048
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._port}"

    async def die(self) -> None:
        """As a process that is killed: no new connection is taken, and every open one is reset."""
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await until(lambda: not self._writers, "the upstream's connections to end")
        await self._server.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            request = await _read(reader)
            while request:
                request = await self._serve(request, reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._writers.discard(writer)

    async def _serve(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request | None:
        """Play the script, or stop when the gateway leaves; returns the next request of the connection."""
        reply = Reply(writer)
        following = asyncio.create_task(_read(reader))
        script = asyncio.create_task(self._play(request, reply))
        try:
            await asyncio.wait({script, following}, return_when=asyncio.FIRST_COMPLETED)
            if not script.done():  # no client pipelines, so it is the end of the connection that came
                return None
            script.result()
            return await following
        finally:
            for task in (script, following):
                task.cancel()
            await asyncio.gather(script, following, return_exceptions=True)

    async def _play(self, request: Request, reply: Reply) -> None:
        if request.target == "/health":
            self.health_asked += 1
            await self.health_answers.wait()
            await reply.whole(self.health_status, b"")
            return
        if request.target == "/v1/models" and request.header("user-agent") == "vllm-slo-gateway":
            listed = {"data": [{"id": name} for name in self.models]}
            await reply.whole(200, json.dumps(listed).encode())
            return
        self.requests.append(request)
        self.serving += 1
        try:
            await self.script(request, reply)
        finally:
            self.serving -= 1


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = int(dict(headers).get("content-length", "0"))
    method, target, _ = first.split(" ")
    return Request(method, target, headers, await reader.readexactly(length))


def upstream_of(**changed: Any) -> dict[str, Any]:
    """The block `upstream`; health is asked after often, so that no test has to wait for it."""
    return {
        "api_key_env": "ENGINE_KEY",
        "connect_timeout_s": 2,
        "health": {"every_s": 0.1},
        **changed,
    }


def settings_of(upstream_url: str, **changed: Any) -> dict[str, Any]:
    """A document that works, with top-level fields replaced."""
    return {
        "listen": {"port": 0},
        "metrics": {"port": 0},
        "upstream": upstream_of(url=upstream_url),
        "keys": [{"name": "suite", "key_env": "GATEWAY_KEY"}],
        "drain_timeout_s": 5,
        **changed,
    }


class Running:
    """A gateway in this event loop, with a client that needs no arguments."""

    def __init__(self, gateway: Gateway, log: io.StringIO, client: httpx.AsyncClient) -> None:
        self.gateway, self._log, self.client = gateway, log, client
        self.url, self.metrics_url = gateway.url, gateway.metrics_url
        self.port = int(self.url.rsplit(":", 1)[1])

    @property
    def log_text(self) -> str:
        return self._log.getvalue()

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log_text.splitlines()]
        return [line for line in lines if line["event"] == event]

    def chat(self, **options: Any) -> Any:
        """An authorized streaming POST, as a context manager."""
        return self.client.stream("POST", CHAT, headers=AUTHORIZED, json={"stream": True}, **options)

    async def scrape(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get(self.metrics_url)
            assert response.status_code == 200
            return response.text

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and at least these labels; 0 without any."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(await self.scrape())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def reading(self, name: str, value: float, **labels: str) -> None:
        """Returns once the metric has this value."""
        async with asyncio.timeout(5):
            while await self.metric(name, **labels) != value:
                pass


@contextlib.asynccontextmanager
async def gateway(upstream_url: str, **changed: Any) -> AsyncIterator[Running]:
    """A gateway that is listening; stopped and drained at the end."""
    log = io.StringIO()
    served = Gateway(parse(settings_of(upstream_url, **changed)), ENVIRONMENT, json_logger(log))
    served.bind()
    serving = asyncio.create_task(served.serve())
    try:
        async with httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=10) as client:
            yield Running(served, log, client)
    finally:
        served.stop()
        await asyncio.wait_for(serving, 15)


@contextlib.asynccontextmanager
async def stage(**changed: Any) -> AsyncIterator[tuple[Upstream, Running]]:
    """An upstream and a gateway before it."""
    async with Upstream().running() as upstream, gateway(upstream.url, **changed) as running:
        yield upstream, running


@contextlib.asynccontextmanager
async def fleet(
    count: int, upstream: dict[str, Any] | None = None, **changed: Any
) -> AsyncIterator[tuple[list[Upstream], Running]]:
    """Several upstreams and one gateway before them; `upstream` replaces fields of that block."""
    async with contextlib.AsyncExitStack() as undo:
        upstreams = [await undo.enter_async_context(Upstream().running()) for _ in range(count)]
        block = upstream_of(replicas=[one.url for one in upstreams], **(upstream or {}))
        running = await undo.enter_async_context(gateway("", upstream=block, **changed))
        yield upstreams, running


class Hold:
    """A script that begins a stream, stands still until it is let go, and ends in good order."""

    def __init__(self, first: bytes = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n') -> None:
        self.go = asyncio.Event()
        self._first = first

    async def __call__(self, request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(self._first)
        await self.go.wait()
        await reply.chunk(DONE)
        await reply.end()

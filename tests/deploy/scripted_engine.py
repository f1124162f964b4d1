"""The scripted engine of the gateway's tests: an HTTP/1.1 server that answers as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

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

"""Small servers on real sockets, scripted by each test, and a client to put to them."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from instruments.loop import SocketLoop
from instruments.records import Request, RequestRecord
from instruments.transport.http import HttpTransport
from tests.instruments.shapes import ROLE, event, stream_of, used


@dataclass
class Exchange:
    """One request as it came, and the wire to answer it on."""

    head: str
    body: bytes
    connection: int  # connections are numbered from 1
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def client_leaves(self) -> None:
        """Wait until the client has closed, however it did."""
        with suppress(ConnectionError):
            while await self.reader.read(1024):
                pass

    def reset(self) -> None:
        """Close with a TCP reset instead of an orderly end."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Served:
    """What a server has seen."""

    url: str
    port: int
    connections: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # the server closed a connection


@asynccontextmanager
async def listening(
    handle: Handle, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that hands each connection over; its port. All is closed when it ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handle(reader, writer)
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(connection, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def serving(
    script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Served]:
    """Serve a script: it is called for each request; to close the connection it closes the writer."""
    served = Served("", 0)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        number = served.connections
        try:
            while not writer.is_closing():
                exchange = await _read(reader, writer, number)
                served.exchanges.append(exchange)
                await script(exchange)
        finally:
            writer.close()
            served.closed.set()

    async with listening(connection, host=host, tls=tls) as port:
        served.port = port
        place = f"[{host}]" if ":" in host else host
        served.url = f"{'https' if tls else 'http'}://{place}:{port}"
        yield served


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = next(
        line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length")
    )
    return Exchange(head, await reader.readexactly(int(length)), connection, reader, writer)


class Client:
    """The transport on its own loop, turned from asyncio's: client and server share a test's thread."""

    def __init__(self, url: str, **options: Any) -> None:
        self.loop = SocketLoop()
        self.transport = HttpTransport(self.loop, url, **options)

    async def send(self, request: Request, *, user: int = 0, due_ns: int = 0) -> RequestRecord:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = self.transport.send(
            request, user=user, due_ns=due_ns, ended=lambda _exchange: over.set_result(None)
        )
        try:
            await over
        except asyncio.CancelledError:
            over = asyncio.get_running_loop().create_future()
            self.transport.cancel(asked, "the run was stopped")
        return self.transport.record(asked)

    async def open(self, connections: int) -> None:
        await asyncio.to_thread(self.transport.open, connections)

    async def turn(self) -> None:
        """Turn the transport's loop without ever waiting in it."""
        while True:
            turned = False

            def once() -> bool:
                nonlocal turned
                turned, over = True, turned
                return over

            self.loop.at(0, lambda: None)
            self.loop.run(once)
            await asyncio.sleep(0)


@asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Client]:
    one = Client(url, **options)
    turning = asyncio.create_task(one.turn())
    try:
        yield one
    finally:
        turning.cancel()
        with suppress(asyncio.CancelledError):
            await turning
        one.transport.close()
        one.loop.close()
        # The server's side of the connections that were just closed.
        await asyncio.sleep(0)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = stream_of(ROLE, event("Hel"), event("lo", finish="stop"), {"choices": []} | used(2))
STREAM = STREAM_HEAD + b"".join(chunk(one) for one in ANSWER) + b"0\r\n\r\n"


def document(body: Any, *, status: int = 200, fields: str = "") -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} x\r\n{fields}Content-Length: {len(text)}\r\n\r\n".encode() + text


async def answer(exchange: Exchange) -> None:
    """The plainest script: two tokens as a stream."""
    await exchange.write(STREAM)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def turns() -> None:
    """Let what the kernel holds for us arrive: on the loopback it is there when it was sent."""
    for _ in range(5):
        await asyncio.sleep(0)

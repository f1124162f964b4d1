"""Saboteur: a reverse proxy that plants exactly one fault, so that it can be shown that the fault is found.

python -m tests.faults.saboteur --upstream http://127.0.0.1:8000 --port 8001 --fault first-token-delay
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from . import rewriting
from .message import PIECE, Head, read_body, read_head
from .planting import Answer, Asked, planted
from .rewriting import Edit

HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection")
HEAD_LIMIT = 4 * 1024 * 1024  # bytes, as in vLLM


class Client:
    """The client's end of a connection: what it sent, whether it is still there, and a way to write to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.inbox = asyncio.StreamReader(limit=HEAD_LIMIT)
        self._reader = reader
        self._writer = writer
        self.gone = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Read all the time, as no other way shows the end of the connection; end with it."""
        with contextlib.suppress(OSError):
            while data := await self._reader.read(PIECE):
                self.inbox.feed_data(data)
        self.inbox.feed_eof()

    async def write(self, data: bytes) -> None:
        """Send; what is sent to a client that has left is lost in silence."""
        if not self.gone.done():
            with contextlib.suppress(OSError):
                self._writer.write(data)
                await self._writer.drain()

    def close(self) -> None:
        """End the connection after what has been written."""
        self._writer.close()
        self.gone.cancel()

    def cut(self) -> None:
        """End the connection now, so that an incomplete answer cannot be taken for a whole one."""
        self._writer.transport.abort()
        self.gone.cancel()


class Saboteur:
    """The proxy: a connection upstream for each request, closed with the request or its client."""

    def __init__(self, host: str, port: int, fault: str, delay_s: float) -> None:
        self._host, self._port = host, port
        self._fault = planted(fault)
        self._delay_s = delay_s
        self._leaks: set[asyncio.Task[bool]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from its first request to its end."""
        client = Client(reader, writer)
        try:
            while head := await read_head(client.inbox):
                if head.get(b"expect").lower() == b"100-continue":
                    await client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = b"".join([piece async for piece in read_body(client.inbox, head, to_the_end=False)])
                asked = Asked(head, body, self._delay_s)
                if not await self._until_gone(client, self._exchange(client, asked)):
                    break
        except asyncio.IncompleteReadError:
            pass  # it left in the middle of a request
        finally:
            client.close()

    async def _until_gone(self, client: Client, exchange: Coroutine[Any, Any, bool]) -> bool:
        """Run one exchange while the client is there; whether the connection can serve another one."""
        task = asyncio.create_task(exchange)
        try:
            await asyncio.wait({task, client.gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self._fault.leaks:
                self._leaks.add(task)
                task.add_done_callback(self._leaks.discard)
            return False
        finally:
            if not task.done() and task not in self._leaks:
                task.cancel()
                await asyncio.wait({task})

    async def _exchange(self, client: Client, asked: Asked) -> bool:
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=HEAD_LIMIT)
        except OSError as error:
            text = f"saboteur: expected an upstream at {self._host}:{self._port}; seen: {error}".encode()
            head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            await client.write(head + b"Content-Length: %d\r\n\r\n" % len(text) + text)
            return False
        try:
            sent = self._fault.request(asked) if self._fault.request else asked
            writer.write(bytes(self._outgoing(sent)) + sent.body)
            return await self._answer(client, asked, reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            client.cut()
            return False
        finally:
            writer.transport.abort()

    def _outgoing(self, sent: Asked) -> Head:
        """The head for the upstream: all of the headers but those about the connection and its framing."""
        head = sent.head.without(*HOP_BY_HOP, b"expect")
        if self._fault.whole or self._fault.event:  # a compressed text could not be edited
            head = head.without(b"accept-encoding")
        if sent.head.chunked:
            head = head.without(b"transfer-encoding").plus(b"Content-Length", b"%d" % len(sent.body))
        return head.plus(b"Connection", b"close")

    async def _answer(self, client: Client, asked: Asked, upstream: asyncio.StreamReader) -> bool:
        head = await read_head(upstream)
        while head is not None and head.status < 200:
            head = await read_head(upstream)
        if head is None:
            raise asyncio.IncompleteReadError(b"", None)
        method, _, version = asked.head.start.split(b" ")
        empty = method == b"HEAD" or head.status in {204, 304}
        body = read_body(upstream, head, to_the_end=True)
        answer = Answer(asked, head.without(*HOP_BY_HOP), body)
        if not empty:
            answer = await self._sabotage(answer)
        lasts = empty or answer.head.chunked or answer.head.get(b"content-length") != b""
        keep = lasts and version == b"HTTP/1.1" and b"close" not in asked.head.get(b"connection").lower()
        await client.write(bytes(answer.head if keep else answer.head.plus(b"Connection", b"close")))
        if not empty:
            await _deliver(client, answer)
        return keep

    async def _sabotage(self, answer: Answer) -> Answer:
        """Plant the fault, if it is one for this answer."""
        fault, asked = self._fault, answer.asked
        if fault.head:
            answer = replace(answer, head=fault.head(asked, answer.head))
        choose = fault.event if answer.streamed else fault.whole
        edit = choose(asked) if choose else None
        if edit and answer.streamed:
            answer = replace(answer, body=rewriting.by_event(answer.body, edit))
        elif edit:
            answer = await _edited(answer, edit)
        return replace(answer, body=fault.timing(answer)) if fault.timing else answer


async def _edited(answer: Answer, edit: Edit) -> Answer:
    """The answer with its whole body edited, and a length that fits."""
    text = edit(b"".join([piece async for piece in answer.body]))
    head = answer.head.without(b"content-length", b"transfer-encoding").plus(
        b"Content-Length", b"%d" % len(text)
    )

    async def once() -> AsyncIterator[bytes]:
        yield text

    return replace(answer, head=head, body=once())


async def _deliver(client: Client, answer: Answer) -> None:
    chunked = answer.head.chunked
    async for piece in answer.body:
        if piece:
            await client.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        await client.write(b"0\r\n\r\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.saboteur", description=__doc__)
    parser.add_argument("--upstream", type=urlsplit, required=True, help="http://HOST:PORT")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument("--fault", required=True, help="a name in tests/faults/planted/*.py")
    parser.add_argument("--delay-ms", type=float, default=300.0, help="of first-token-delay")
    return parser.parse_args()


async def run() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status: 0, or 1 when the address cannot be had."""
    given = _arguments()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    saboteur = Saboteur(
        given.upstream.hostname, given.upstream.port or 80, given.fault, given.delay_ms / 1000
    )
    try:
        server = await asyncio.start_server(
            saboteur.serve, given.host, given.port, limit=HEAD_LIMIT, backlog=2048
        )
    except OSError as error:
        seen = f"expected {given.host}:{given.port} to be free; seen: {os.strerror(error.errno or 0)}"
        sys.stderr.write(f"{seen}; try --port 0, or stop what has it\n")
        return 1
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"saboteur: {given.fault} on http://{given.host}:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))

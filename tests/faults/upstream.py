"""A scripted upstream: gives every request the same pieces, keeps what it was asked, knows who left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)
Pause = asyncio.Event


class Upstream:
    """`script`: bytes are written, an Event is waited for; then the connection is closed."""

    def __init__(self, script: Sequence[bytes | Pause]) -> None:
        self.script = script
        self.asked: list[bytes] = []
        self.left = asyncio.Event()
        self.finished = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which is one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [
            line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        self.asked.append(head + await reader.readexactly(int(lengths[0]) if lengths else 0))
        play = asyncio.create_task(self._play(writer))
        gone = asyncio.create_task(self._end_of(reader))
        await asyncio.wait({play, gone}, return_when=asyncio.FIRST_COMPLETED)
        play.cancel()
        gone.cancel()
        await asyncio.wait({play, gone})
        writer.close()

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        for step in self.script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await step.wait()
        self.finished.set()

    async def _end_of(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.left.set()


@asynccontextmanager
async def upstream(*script: bytes | Pause) -> AsyncIterator[Upstream]:
    """Serve `script` on a free port."""
    scripted = Upstream(script)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()


def chunked(*pieces: bytes) -> bytes:
    """A chunked body, one chunk a piece, and its end."""
    return b"".join(map(chunk, pieces)) + b"0\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def whole(body: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json") -> bytes:
    """An answer with its length."""
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        kind,
        len(body),
        body,
    )

"""Messages of HTTP/1.1 as a proxy sees them: heads kept byte for byte, bodies as they arrive."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

PIECE = 65536  # bytes read at once, at most


@dataclass(frozen=True, slots=True)
class Head:
    """A start line and the headers, in the order and spelling in which they came."""

    start: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def get(self, name: bytes) -> bytes:
        """The value of the last header called `name` (given in lower case), b"" without one."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name), b"")

    def without(self, *names: bytes) -> "Head":
        """The same head less the headers called `names`, given in lower case."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() not in names))

    def plus(self, name: bytes, value: bytes) -> "Head":
        """The same head and one header more."""
        return replace(self, headers=(*self.headers, (name, value)))

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return b"chunked" in self.get(b"transfer-encoding").lower()

    @property
    def status(self) -> int:
        """Of an answer: its status."""
        return int(self.start.split(b" ")[1])

    def __bytes__(self) -> bytes:
        lines = [self.start, *(name + b": " + value for name, value in self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n"


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next head, or None at the end of the connection."""
    try:
        text = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    start, *lines = text[:-4].split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return Head(start, tuple((name, value.strip()) for name, _, value in pairs))


async def read_body(reader: asyncio.StreamReader, head: Head, to_the_end: bool) -> AsyncIterator[bytes]:
    """The body that belongs to `head`, a chunk or what has arrived at a time.

    `to_the_end`: a body without a length lasts as long as the connection (answers); else there is none.
    Raises asyncio.IncompleteReadError if the connection ends before the body does.
    """
    if head.chunked:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return
    length = head.get(b"content-length")
    if not length and to_the_end:
        while piece := await reader.read(PIECE):
            yield piece
        return
    left = int(length or b"0")
    while left:
        piece = await reader.read(min(left, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece

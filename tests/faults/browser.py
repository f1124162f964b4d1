"""A client that reads raw bytes through a saboteur, and what an upstream may tell it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.saboteur import Saboteur
from tests.faults.upstream import STREAM_HEAD, Upstream, chunked, upstream

BOUND_S = 10.0
CHAT = b"/v1/chat/completions"
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
TOKENS = [
    b'data: {"choices":[{"index":0,"delta":{"content":" %b"},"finish_reason":%b}]}\n\n' % (word, finish)
    for word, finish in ((b"one", b"null"), (b"two", b"null"), (b"three", b"null"), (b"four", b'"length"'))
]
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"total_tokens":7,"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = [ROLE, *TOKENS, USAGE, DONE]
WHOLE = b'{"choices":[],"usage":{"completion_tokens": 4,"completion_tokens_details":null}}'
METRICS = b"""# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="tiny"} 100.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="tiny"} 2.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 5.0
vllm:request_generation_tokens_sum{engine="0",model_name="tiny"} 100.0
"""


class Browser:
    """A client that reads raw bytes, so that what is seen is what was sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, path: bytes = CHAT, body: bytes = b"{}", *headers: bytes) -> None:
        """Send a POST."""
        lines = [
            b"POST %b HTTP/1.1" % path,
            b"Host: h",
            b"Content-Length: %d" % len(body),
            *headers,
            b"",
            body,
        ]
        self.writer.write(b"\r\n".join(lines))

    async def until(self, end: bytes) -> bytes:
        """What arrives up to and including `end`."""
        async with asyncio.timeout(BOUND_S):
            return await self.reader.readuntil(end)

    async def stream(self) -> list[bytes]:
        """A chunked answer's chunks."""
        await self.until(b"\r\n\r\n")
        chunks = []
        while size := int(await self.until(b"\r\n"), 16):
            chunks.append((await self.reader.readexactly(size + 2))[:-2])
        await self.until(b"\r\n")
        return chunks

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of an answer with a length."""
        head = await self.until(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        return head, await self.reader.readexactly(int(length.split(b":")[1]))


@asynccontextmanager
async def between(to: Upstream, fault: str, delay_s: float = 0.0) -> AsyncIterator[Browser]:
    """A client, a saboteur with one fault, and the scripted upstream behind it."""
    saboteur = Saboteur("127.0.0.1", to.port, fault, delay_s)
    server = await asyncio.start_server(saboteur.serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield Browser(reader, writer)
    finally:
        writer.close()
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            _, stuck = await asyncio.wait(rest, timeout=BOUND_S)
            assert not stuck, f"left running: {stuck}"


async def streamed(fault: str, pieces: list[bytes], path: bytes = CHAT) -> list[bytes]:
    """The chunks that a client gets of `pieces`."""
    async with upstream(STREAM_HEAD, chunked(*pieces)) as up, between(up, fault) as browser:
        await browser.ask(path)
        return await browser.stream()


async def answered(fault: str, answer: bytes, path: bytes = CHAT) -> tuple[bytes, bytes]:
    """Head and body that a client gets of `answer`."""
    async with upstream(answer) as up, between(up, fault) as browser:
        await browser.ask(path)
        return await browser.answer()

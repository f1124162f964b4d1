"""A proxy is used when it is asked for: forwarding for plain HTTP, a tunnel for TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trustme

from instruments.records import Outcome
from tests.instruments.shapes import request
from tests.instruments.sockets import Handle, answer, client, listening, serving


@dataclass
class Proxy:
    """A proxy that tunnels, and what it was asked for."""

    url: str = ""
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def tunnelling(says: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> AsyncIterator[Proxy]:
    proxy = Proxy()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        proxy.heads.append(head)
        for torn in (says[:9], says[9:]):
            writer.write(torn)
            await writer.drain()
            await asyncio.sleep(0.005)
        if b" 200 " not in says:
            return
        host, _, port = head.split()[1].rpartition(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))
        finally:
            ours.close()

    async with listening(connection) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_plain_http_is_asked_of_the_proxy_with_the_whole_address() -> None:
    async with serving(answer) as proxy, client("http://far.example:8000/v", proxy=proxy.url) as transport:
        record = await transport.send(request())
    assert record.outcome is Outcome.COMPLETED
    (exchange,) = proxy.exchanges
    assert exchange.head.startswith("POST http://far.example:8000/v/v1/chat/completions HTTP/1.1\r\n")
    assert "\r\nHost: far.example:8000\r\n" in exchange.head


async def test_tls_goes_through_a_tunnel_and_is_verified_end_to_end() -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(theirs)
    headers = {"Authorization": "Bearer a-key"}
    async with (
        tunnelling() as proxy,
        serving(answer, tls=ours) as served,
        client(served.url, tls=theirs, proxy=proxy.url, headers=headers) as transport,
    ):
        records = [await transport.send(request()) for _ in range(2)]
    assert [one.outcome for one in records] == [Outcome.COMPLETED] * 2
    assert proxy.heads == [
        f"CONNECT 127.0.0.1:{served.port} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n"
    ]
    assert served.exchanges[0].head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")


async def test_a_proxy_that_refuses_is_failed_with_its_words() -> None:
    async with (
        tunnelling(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as proxy,
        client("https://far.example", proxy=proxy.url) as transport,
    ):
        record = await transport.send(request())
    assert record.outcome is Outcome.FAILED
    assert record.error is not None
    assert record.error.startswith(
        "no connection to far.example:443: the proxy refused the tunnel: 'HTTP/1.1 407"
    )


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 " + b"x" * 100_000)
    await reader.read()


@pytest.mark.parametrize("proxy_does", [hang_up, babble])
async def test_a_proxy_that_makes_no_sense_is_failed(proxy_does: Handle) -> None:
    async with (
        listening(proxy_does) as port,
        asyncio.timeout(10),
        client("https://far.example", proxy=f"http://127.0.0.1:{port}") as transport,
    ):
        record = await transport.send(request())
    assert record.outcome is Outcome.FAILED
    assert record.error is not None
    assert "the proxy refused the tunnel" in record.error

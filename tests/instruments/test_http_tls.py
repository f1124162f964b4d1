"""HttpTransport over TLS: certificates are verified, and a failure says what to look at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from instruments.limits import RequestTimeouts
from instruments.records import Outcome, RequestRecord
from tests.instruments.shapes import request
from tests.instruments.sockets import (
    Client,
    Exchange,
    Handle,
    Script,
    Served,
    answer,
    client,
    listening,
    serving,
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def asking(
    script: Script, ours: ssl.SSLContext, theirs: ssl.SSLContext
) -> AsyncIterator[tuple[Served, Client]]:
    async with serving(script, tls=ours) as served, client(served.url, tls=theirs) as transport:
        yield served, transport


async def send(transport: Client) -> RequestRecord:
    return await transport.send(request(), user=0, due_ns=0)


async def test_a_server_with_a_certificate_of_a_trusted_authority_is_asked(authority: trustme.CA) -> None:
    async with asking(answer, server_side(authority), trusting(authority)) as (served, transport):
        records = [await send(transport), await send(transport)]
    assert [one.outcome for one in records] == [Outcome.COMPLETED] * 2
    assert served.connections == 1
    assert [one.connect_ns is None for one in records] == [False, True]


async def test_an_authority_that_nobody_trusts_is_failed_and_nothing_is_sent(authority: trustme.CA) -> None:
    async with serving(answer, tls=server_side(authority)) as served:
        for tls in (None, trusting(trustme.CA())):
            async with client(served.url, tls=tls) as transport:
                record = await send(transport)
            assert record.outcome is Outcome.FAILED
            assert record.error is not None
            assert record.error.startswith(f"no connection to 127.0.0.1:{served.port}: ")
            assert "certificate verify failed" in record.error
            assert record.sent_ns is None
    assert served.exchanges == []


async def test_a_certificate_for_another_name_is_failed(authority: trustme.CA) -> None:
    elsewhere = server_side(authority, "other.example")
    async with asking(answer, elsewhere, trusting(authority)) as (_, transport):
        record = await send(transport)
    assert record.outcome is Outcome.FAILED
    assert record.error is not None
    assert "IP address mismatch" in record.error


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await reader.read()


async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("server_does", "outcome", "said"),
    [(plain, Outcome.FAILED, "WRONG_VERSION_NUMBER"), (mute, Outcome.TIMED_OUT, "within 0.5 s")],
)
async def test_a_server_without_tls_is_failed_when_it_speaks_and_timed_out_when_not(
    authority: trustme.CA, server_does: Handle, outcome: Outcome, said: str
) -> None:
    bounds = RequestTimeouts(connect_s=0.5)
    async with listening(server_does) as port:
        url = f"https://127.0.0.1:{port}"
        async with client(url, tls=trusting(authority), timeouts=bounds) as transport:
            record = await send(transport)
    assert record.outcome is outcome
    assert record.error is not None
    assert record.error.startswith(f"no connection to 127.0.0.1:{port}")
    assert said in record.error


async def test_a_stream_over_tls_that_is_cut_is_truncated(authority: trustme.CA) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndata: ")
        exchange.writer.transport.abort()

    async with asking(script, server_side(authority), trusting(authority)) as (_, transport):
        assert (await send(transport)).outcome is Outcome.TRUNCATED

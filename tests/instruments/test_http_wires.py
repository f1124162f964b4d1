"""What the wire does to bytes: writes and pieces of any size, records together; names and addresses."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace

import pytest
import trustme

from instruments.limits import RequestTimeouts
from instruments.records import Outcome, RequestRecord
from instruments.transport import connection, http
from instruments.transport.stamps import kernel_stamps
from tests.instruments.shapes import request
from tests.instruments.sockets import (
    ANSWER,
    STREAM,
    STREAM_HEAD,
    Exchange,
    Script,
    answer,
    chunk,
    client,
    free_port,
    serving,
    turns,
)

BEGUN = STREAM_HEAD + b"".join(map(chunk, ANSWER[:2]))
LARGE = replace(request(), body={"model": "m", "prompt": "x" * 6_000_000})


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(theirs)
    return ours, theirs


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_a_body_larger_than_a_socket_takes_at_once_goes_out_whole(secure: bool) -> None:
    ours, theirs = contexts() if secure else (None, None)
    async with serving(answer, tls=ours) as served, client(served.url, tls=theirs) as transport:
        async with asyncio.timeout(20):
            records = [await transport.send(LARGE), await transport.send(request())]
    assert [one.outcome for one in records] == [Outcome.COMPLETED] * 2
    assert served.connections == 1
    assert served.exchanges[0].body == http._json(LARGE.body)


async def test_records_of_tls_that_come_in_one_piece_are_all_read() -> None:
    """Each write is a record; the client stands still until all of them lie in its socket."""
    ours, theirs = contexts()

    async def script(exchange: Exchange) -> None:
        for data in (STREAM_HEAD, *map(chunk, ANSWER), b"0\r\n\r\n"):
            exchange.writer.write(data)
        await exchange.writer.drain()

    async with serving(script, tls=ours) as served, client(served.url, tls=theirs) as transport:
        async with asyncio.timeout(10):
            record = await transport.send(request())
    assert (record.outcome, record.completion_tokens) == (Outcome.COMPLETED, 2)


async def test_an_address_that_stays_silent_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        # Its queue is full: a further connection is neither taken nor refused.
        with socket.create_connection(silent.getsockname()):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
            async with serving(answer) as served:
                there = (socket.AF_INET, ("127.0.0.1", served.port))
                both = ((socket.AF_INET, silent.getsockname()), there)
                monkeypatch.setattr(http, "_addresses", lambda _host, _port: both)
                async with client(served.url, timeouts=RequestTimeouts(connect_s=1.0)) as transport:
                    async with asyncio.timeout(10):
                        record = await transport.send(request())
            filler.close()
    assert record.outcome is Outcome.COMPLETED
    assert record.connect_ns is not None
    assert record.connect_ns >= 500_000_000  # half of the bound was the first one's


async def test_a_name_that_cannot_be_resolved_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def nobody(host: str, _port: int) -> tuple[()]:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(http, "_addresses", nobody)
    async with client("http://nowhere.invalid") as transport:
        await transport.open(3)
        records = [await transport.send(request()) for _ in range(3)]
    assert asked == ["nowhere.invalid"]
    assert {one.error for one in records} == {
        "no connection to nowhere.invalid:80: [Errno -2] Name or service not known"
    }


async def test_a_name_that_is_none_is_failed() -> None:
    async with client("http://a..b") as transport:
        record = await transport.send(request())
    assert record.outcome is Outcome.FAILED


async def test_connections_that_cannot_be_made_are_not_tried_for_one_after_the_other() -> None:
    port = free_port()
    async with client(f"http://127.0.0.1:{port}") as transport, asyncio.timeout(5):
        await transport.open(5_000)
    assert transport.transport.connections_made == 0


async def test_a_request_id_of_any_letters_is_sent() -> None:
    async with serving(answer) as served, client(served.url) as transport:
        record = await transport.send(replace(request(), request_id="long – prompts-1"))
    assert record.outcome is Outcome.COMPLETED
    assert "X-Request-Id: long \\u2013 prompts-1\r\n" in served.exchanges[0].head


async def test_an_exchange_cancelled_while_its_end_is_settled_ends_once() -> None:
    async with serving(answer) as served, client(served.url) as transport:
        ended: list[object] = []
        asked = transport.transport.send(request(), user=0, due_ns=0, ended=ended.append)
        async with asyncio.timeout(5):
            # Its bytes are there, and it is not over yet.
            while asked.last_read_ns is None:  # noqa: ASYNC110 - the transport's loop has no events to wait for
                await asyncio.sleep(0)
        transport.transport.cancel(asked, "the run was stopped")
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(ended) == 1
        assert (await transport.send(request())).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("stamped", [True, False])
async def test_the_loop_naps_only_where_the_kernel_stamps(
    stamped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stamped and not kernel_stamps():
        pytest.skip("this kernel does not stamp what arrives")
    if not stamped:
        monkeypatch.setattr(connection, "ask_for_stamps", lambda _sock: False)
    async with serving(answer) as served, client(served.url) as transport:
        assert transport.loop.may_nap is False
        for _ in range(12):
            await transport.send(request())
        assert transport.loop.may_nap is stamped
        assert transport.transport.clock.source == ("kernel" if stamped else "user")


async def outcome_of(script: Script) -> RequestRecord:
    """The record of one request to a server with this script."""
    async with serving(script) as served, client(served.url) as transport:
        return await transport.send(request())


async def test_bytes_after_an_answer_in_its_last_piece_do_not_keep_it_waiting() -> None:
    """The hot path looks for the end of a body in pieces that may be it: this one looks like none."""

    async def script(exchange: Exchange) -> None:
        await exchange.write(BEGUN)
        await turns()
        await exchange.write(b"".join(map(chunk, ANSWER[2:])) + b"0\r\n\r\nHTTP/1.1 200 OK")
        await exchange.client_leaves()

    async with asyncio.timeout(5):
        record = await outcome_of(script)
    assert (record.outcome, record.completion_tokens) == (Outcome.COMPLETED, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 11, 64])
async def test_a_stream_in_pieces_of_any_size_ends_when_it_ends(size: int) -> None:
    async def script(exchange: Exchange) -> None:
        for start in range(0, len(STREAM), size):
            await exchange.write(STREAM[start : start + size])
            await asyncio.sleep(0)

    async with asyncio.timeout(10):
        record = await outcome_of(script)
    assert (record.outcome, record.completion_tokens) == (Outcome.COMPLETED, 2)
    assert len(record.chunks_ns) == 2


async def test_a_client_that_leaves_after_some_tokens_is_gone_when_it_has_seen_them() -> None:
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.write(BEGUN)
        await exchange.client_leaves()
        left.set()

    async with serving(script) as served, client(served.url) as transport, asyncio.timeout(5):
        record = await transport.send(replace(request(), cancel_after_tokens=1))
        await left.wait()
    assert (record.outcome, record.error) == (Outcome.CANCELLED, "the client left after 1 tokens")
    assert len(record.chunks_ns) == 1

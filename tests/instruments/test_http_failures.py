"""Whatever a server does, there is a record, with the outcome of the table and one line of why.

Once a 200 was seen, a body that stops is TRUNCATED, reset or not: an answer had begun. Without a
status there was no answer: FAILED.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from instruments.limits import RequestTimeouts
from instruments.records import Outcome, RequestRecord
from tests.instruments.shapes import request
from tests.instruments.sockets import (
    ANSWER,
    STREAM,
    STREAM_HEAD,
    Client,
    Exchange,
    Script,
    answer,
    chunk,
    client,
    document,
    free_port,
    serving,
    turns,
)

KEY = "sk-0123456789abcdef-0123456789abcdef"
BEGUN = STREAM_HEAD + b"".join(map(chunk, ANSWER[:2]))


async def send(
    transport: Client, *, stream: bool = True, cancel_after_s: float | None = None
) -> RequestRecord:
    asked = replace(request(stream=stream), cancel_after_s=cancel_after_s)
    return await transport.send(asked, user=0, due_ns=0)


async def outcome_of(
    script: Script, bounds: RequestTimeouts | None = None, *, stream: bool = True
) -> RequestRecord:
    """The record of one request to a server with this script."""
    async with serving(script) as served, client(served.url, timeouts=bounds) as transport:
        return await send(transport, stream=stream)


async def test_nobody_listening_is_failed_and_was_never_sent() -> None:
    port = free_port()
    async with client(f"http://127.0.0.1:{port}") as transport:
        await transport.open(2)
        record = await send(transport)
    assert record.outcome is Outcome.FAILED
    assert record.error is not None
    assert record.error.startswith(f"no connection to 127.0.0.1:{port}: ")
    assert (record.sent_ns, record.status, record.done_ns) == (None, None, None)


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize(
    ("begun", "stream", "outcome", "said"),
    [
        (b"", True, Outcome.FAILED, "the connection was closed before an answer"),
        (b"HTTP/1.1 200 O", True, Outcome.FAILED, "the connection was closed before an answer"),
        (BEGUN, True, Outcome.TRUNCATED, "the answer stopped before its end"),
        (document({"choices": []})[:-3], False, Outcome.TRUNCATED, "the answer stopped before its end"),
        (
            b"HTTP/1.1 200 OK\r\n\r\n" + ANSWER[0],
            True,
            Outcome.TRUNCATED,
            "the answer stopped before its end",
        ),
    ],
    ids=["nothing", "half-a-header", "half-a-stream", "half-a-document", "a-body-without-a-length"],
)
async def test_a_connection_lost_in_the_middle(
    begun: bytes, stream: bool, outcome: Outcome, said: str, reset: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(begun)
        if reset:
            await turns()  # a reset throws away what was not read yet
            exchange.reset()
        else:
            exchange.writer.close()

    record = await outcome_of(script, stream=stream)
    assert record.outcome is outcome
    assert record.error is not None
    assert record.error.startswith(said)


async def test_a_reset_does_not_end_a_body_that_goes_on_until_the_connection_closes() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(ANSWER))
        await turns()
        exchange.reset()

    assert (await outcome_of(script)).outcome is Outcome.TRUNCATED


async def test_the_tokens_before_a_cut_keep_their_instants() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(BEGUN)
        exchange.writer.close()

    record = await outcome_of(script)
    assert len(record.chunks_ns) == 1
    assert record.first_token_ns == record.chunks_ns[0]


async def silent(exchange: Exchange) -> None:
    await exchange.client_leaves()


async def stalling(exchange: Exchange) -> None:
    await exchange.write(BEGUN)
    await exchange.client_leaves()


async def dripping(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD)
    while True:
        await exchange.write(chunk(b": still here\n\n"))
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("script", "bounds", "said"),
    [
        (silent, RequestTimeouts(first_byte_s=0.05), "no byte of an answer within 0.05 s"),
        (stalling, RequestTimeouts(stall_s=0.05), "no further byte within 0.05 s"),
        (dripping, RequestTimeouts(total_s=0.1), "no complete answer within 0.1 s"),
    ],
)
async def test_a_bound_that_runs_out_is_timed_out_and_says_which(
    script: Script, bounds: RequestTimeouts, said: str
) -> None:
    async with asyncio.timeout(5):
        record = await outcome_of(script, bounds)
    assert (record.outcome, record.error) == (Outcome.TIMED_OUT, said)
    assert record.sent_ns is not None


async def test_a_connection_that_was_given_up_is_closed_and_not_used_again() -> None:
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if exchange.connection > 1:
            await exchange.write(STREAM)
            return
        await exchange.client_leaves()
        left.set()

    bounds = RequestTimeouts(first_byte_s=0.05)
    async with serving(script) as served, client(served.url, timeouts=bounds) as transport:
        assert (await send(transport)).outcome is Outcome.TIMED_OUT
        async with asyncio.timeout(5):
            await left.wait()
        assert (await send(transport)).outcome is Outcome.COMPLETED


async def test_a_client_that_leaves_on_purpose_is_cancelled_and_the_server_sees_it_go() -> None:
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await stalling(exchange)
        left.set()

    async with serving(script) as served, client(served.url) as transport, asyncio.timeout(5):
        record = await send(transport, cancel_after_s=0.05)
        await left.wait()
    assert (record.outcome, record.error) == (Outcome.CANCELLED, "the client left within 0.05 s")
    assert len(record.chunks_ns) == 1


async def test_a_cancelled_task_gets_its_record_back() -> None:
    async def script(exchange: Exchange) -> None:
        asked.set()
        await exchange.client_leaves()

    asked = asyncio.Event()
    async with serving(script) as served, client(served.url) as transport:
        sending = asyncio.create_task(send(transport))
        await asked.wait()
        sending.cancel()
        record = await sending
    assert (record.outcome, record.error) == (Outcome.CANCELLED, "the run was stopped")
    assert record.sent_ns is not None


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "malformed response: the answer does not begin with HTTP/1."),
        (STREAM_HEAD + b"0x5\r\nhello\r\n", "malformed response: chunk size b'0x5'"),
    ],
)
async def test_what_is_no_http_is_failed_at_once(wire: bytes, said: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(wire)
        await exchange.client_leaves()

    async with asyncio.timeout(5):
        record = await outcome_of(script)
    assert record.outcome is Outcome.FAILED
    assert record.error is not None
    assert record.error.startswith(said)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "in two"])
async def test_bytes_after_an_answer_cost_the_connection_and_not_the_answer(at_once: bool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(STREAM + (b"HTTP/1.1" if at_once else b""))
        if not at_once:
            await exchange.write(b"HTTP/1.1")
        if exchange.connection == 1:
            await exchange.client_leaves()

    async with asyncio.timeout(5), serving(script) as served, client(served.url) as transport:
        records = [await send(transport)]
        await served.closed.wait()
        records.append(await send(transport))
    assert [one.outcome for one in records] == [Outcome.COMPLETED] * 2
    assert served.connections == 2


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, Outcome.REFUSED), (429, Outcome.RATE_LIMITED), (500, Outcome.FAILED), (503, Outcome.REFUSED)],
)
async def test_a_refusal_keeps_its_status_and_its_connection(status: int, outcome: Outcome) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(document({"error": "because"}, status=status))

    async with serving(script) as served, client(served.url) as transport:
        records = [await send(transport), await send(transport)]
    assert [(one.outcome, one.status, one.error) for one in records] == [
        (outcome, status, f"HTTP {status}: because")
    ] * 2
    assert served.connections == 1
    assert records[0].chunk_tokens is None


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
@pytest.mark.parametrize("before", ["", "x" * 270], ids=["whole", "cut-by-the-limit"])
async def test_a_key_that_the_server_quotes_is_in_no_error(header: str, before: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(document({"error": f"{before} no such key: {KEY}, sorry"}, status=401))

    value = f"Bearer {KEY}" if header == "Authorization" else KEY
    async with serving(script) as served, client(served.url, headers={header: value}) as transport:
        record = await send(transport)
        assert KEY not in repr(transport)
    assert f"{header}: {value}\r\n" in served.exchanges[0].head
    assert record.error is not None
    assert KEY[:6] not in record.error
    assert "***" in record.error
    assert KEY not in repr(record)


async def test_a_server_that_fails_once_does_not_spoil_the_next_request() -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.connection == 1:
            exchange.reset()
        else:
            await answer(exchange)

    async with serving(script) as served, client(served.url) as transport:
        records = [await send(transport), await send(transport)]
    assert [one.outcome for one in records] == [Outcome.FAILED, Outcome.COMPLETED]

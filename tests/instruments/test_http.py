"""HttpTransport against real sockets: what is sent, what is stamped, which connection is used."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

from instruments.errors import ConfigurationError
from instruments.loop import SocketLoop
from instruments.records import Outcome, RequestRecord
from instruments.transport.http import HttpTransport
from tests.instruments.shapes import SECOND, request
from tests.instruments.sockets import (
    ANSWER,
    STREAM,
    STREAM_HEAD,
    Client,
    Exchange,
    answer,
    chunk,
    client,
    document,
    free_port,
    serving,
    turns,
)


async def send(transport: Client, *, stream: bool = True) -> RequestRecord:
    return await transport.send(request(stream=stream), user=3, due_ns=17)


async def test_an_answer_is_recorded_with_its_request() -> None:
    async with serving(answer) as served, client(served.url) as transport:
        record = await send(transport)
    assert (record.index, record.request_id, record.user, record.due_ns) == (0, "request-0", 3, 17)
    assert (record.outcome, record.status, record.error) == (Outcome.COMPLETED, 200, None)
    assert (record.prompt_tokens, record.completion_tokens, record.finish_reason) == (7, 2, "stop")
    assert record.body_bytes == sum(map(len, ANSWER))


async def test_a_document_is_recorded_without_a_first_token() -> None:
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}

    async def script(exchange: Exchange) -> None:
        await exchange.write(document(body))

    async with serving(script) as served, client(served.url) as transport:
        record = await send(transport, stream=False)
    assert (record.outcome, record.first_token_ns, record.chunks_ns) == (Outcome.COMPLETED, None, ())
    assert record.first_data_ns is not None


async def test_instants_lie_between_the_writes_of_the_server() -> None:
    """The server stamps each write on the same clock and waits before the next."""
    written: list[int] = []

    async def script(exchange: Exchange) -> None:
        for data in [STREAM_HEAD, *map(chunk, ANSWER), b"0\r\n\r\n"]:
            await asyncio.sleep(0.02)
            written.append(time.monotonic_ns())
            await exchange.write(data)

    async with serving(script) as served, client(served.url) as transport:
        before = time.monotonic_ns()
        record = await send(transport)
        after = time.monotonic_ns()
    seen = [record.headers_ns, record.first_data_ns, *record.chunks_ns]
    assert [(record.first_token_ns, record.last_token_ns)] == [record.chunks_ns]
    for instant, earliest, latest in zip(seen, written, written[1:], strict=False):
        assert instant is not None
        assert earliest <= instant < latest
    assert record.sent_ns is not None
    assert record.done_ns is not None
    assert before <= record.sent_ns < written[0]
    assert written[-1] <= record.done_ns <= after


async def test_a_body_that_ends_with_the_connection_is_done_when_the_connection_is() -> None:
    written: list[int] = []

    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(ANSWER))
        await asyncio.sleep(0.03)
        written.append(time.monotonic_ns())
        exchange.writer.close()

    async with serving(script) as served, client(served.url) as transport:
        record = await send(transport)
    assert record.outcome is Outcome.COMPLETED
    assert record.done_ns is not None
    assert record.done_ns >= written[0]


async def test_the_request_on_the_wire_is_the_one_that_was_asked_for() -> None:
    async with serving(answer) as served:
        headers = {"Authorization": "Bearer a-key"}
        async with client(f"{served.url}/prefix/", headers=headers) as transport:
            await send(transport)
    (exchange,) = served.exchanges
    first, *fields = exchange.head.rstrip("\r\n").split("\r\n")
    assert first == "POST /prefix/v1/chat/completions HTTP/1.1"
    assert dict(line.split(": ", 1) for line in fields) == {
        "Host": f"127.0.0.1:{served.port}",
        "Accept-Encoding": "identity",
        "Authorization": "Bearer a-key",
        "Content-Type": "application/json",
        "Content-Length": str(len(exchange.body)),
        "X-Request-Id": "request-0",
    }
    assert json.loads(exchange.body) == {"model": "m"}


async def test_a_connection_is_kept_and_only_the_first_request_pays_for_it() -> None:
    async with serving(answer) as served, client(served.url) as transport:
        records = [await send(transport) for _ in range(3)]
    assert served.connections == 1
    assert records[0].connect_ns is not None
    assert records[0].connect_ns > 0
    assert [one.connect_ns for one in records[1:]] == [None, None]


async def test_connections_made_ahead_are_used() -> None:
    async with serving(answer) as served, client(served.url) as transport:
        await transport.open(3)
        records = await asyncio.gather(*(send(transport) for _ in range(3)))
    assert served.connections == 3
    assert [(one.outcome, one.connect_ns) for one in records] == [(Outcome.COMPLETED, None)] * 3


async def test_as_many_connections_are_made_as_requests_are_in_flight() -> None:
    async with serving(answer) as served, client(served.url) as transport:
        records = await asyncio.gather(*(send(transport) for _ in range(20)))
        assert served.connections == 20
        await send(transport)
    assert served.connections == 20
    assert {one.outcome for one in records} == {Outcome.COMPLETED}


async def test_a_connection_that_the_server_will_close_is_not_used_again() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(STREAM.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n", 1))

    async with serving(script) as served, client(served.url) as transport:
        records = [await send(transport), await send(transport)]
    assert served.connections == 2
    assert {one.outcome for one in records} == {Outcome.COMPLETED}


async def test_a_connection_that_the_server_closed_while_idle_is_replaced() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(STREAM)
        exchange.writer.close()

    async with serving(script) as served, client(served.url) as transport:
        for _ in range(3):
            served.closed.clear()
            assert (await send(transport)).outcome is Outcome.COMPLETED
            await served.closed.wait()
            await turns()
    assert served.connections == 3


@pytest.mark.parametrize(("idle_s", "connections"), [(3.9, 1), (4.1, 2)])
async def test_a_connection_that_was_idle_for_four_seconds_is_not_trusted(
    idle_s: float, connections: int
) -> None:
    async with serving(answer) as served, client(served.url) as transport:
        await send(transport)
        (idle,) = transport.transport._idle
        idle.idle_since_ns -= round(idle_s * SECOND)
        assert (await send(transport)).outcome is Outcome.COMPLETED
    assert served.connections == connections


async def test_bytes_that_nobody_asked_for_cost_the_connection_and_not_a_request() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(STREAM)
        if exchange.connection == 1:
            await noise.wait()
            await exchange.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    noise = asyncio.Event()
    async with serving(script) as served, client(served.url) as transport:
        assert (await send(transport)).outcome is Outcome.COMPLETED
        noise.set()
        await served.closed.wait()  # the client closed it: the server did not
        assert (await send(transport)).outcome is Outcome.COMPLETED
    assert served.connections == 2


async def test_proxies_named_in_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for spelled in (name, name.lower()):
            monkeypatch.setenv(spelled, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with serving(answer) as served, client(served.url) as transport:
        assert (await send(transport)).outcome is Outcome.COMPLETED


async def test_an_ipv6_address_keeps_its_brackets_in_host() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with serving(answer, host="::1") as served, client(served.url) as transport:
        assert (await send(transport)).outcome is Outcome.COMPLETED
    assert f"\r\nHost: [::1]:{served.port}\r\n" in served.exchanges[0].head


async def test_a_name_and_a_password_in_the_url_are_not_sent_as_the_host() -> None:
    async with serving(answer) as served, client(served.url.replace("//", "//user:secret@")) as transport:
        await send(transport)
    assert "secret" not in served.exchanges[0].head


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://[::1"]
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a base URL"):
        HttpTransport(SocketLoop(), url)


@pytest.mark.parametrize("value", ["Bearer a-key\n", "Bearer a\r\nX: y", "Bearer ключ", "Bearer a\x00"])
def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ConfigurationError, match="'Authorization' cannot be sent") as caught:
        HttpTransport(SocketLoop(), "http://host", headers={"Authorization": value})
    assert "Bearer" not in str(caught.value)

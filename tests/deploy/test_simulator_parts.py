"""The simulator's parts by themselves: the timing law, the alarm clock, HTTP on the wire."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.simulator.law import Law, chunk_ends
from deploy.simulator.tally import Histogram, token_bounds
from deploy.simulator.watch import new_watch
from deploy.simulator.wire import MalformedError, RequestReader
from deploy.simulator.words import words
from tests.deploy.running import simulator


def test_dues_are_absolute() -> None:
    assert Law(8, 3).dues(1000, 4, "any") == [1008, 1011, 1014, 1017]


def test_jitter_only_delays_keeps_order_and_is_the_requests_own() -> None:
    law = Law(1000, 10, 100, seed=3)
    dues = law.dues(0, 500, "a")
    assert all(1000 + 10 * k <= due < 1000 + 10 * 499 + 100 for k, due in enumerate(dues))
    assert all(earlier <= later for earlier, later in pairwise(dues))
    assert dues == law.dues(0, 500, "a")
    assert [due + 70 for due in dues] == law.dues(70, 500, "a")
    assert dues != law.dues(0, 500, "b")
    assert dues != Law(1000, 10, 100, seed=4).dues(0, 500, "a")


def test_with_a_step_a_token_waits_for_the_next_multiple_of_it() -> None:
    assert Law(8, 3, step_ns=10).dues(1000, 4, "") == [1010, 1020, 1020, 1020]  # 1008 1011 1014 1017
    assert Law(0, 5, step_ns=10).dues(20, 3, "") == [20, 30, 30]  # on the grid already: 20 25 30


def test_a_stall_moves_all_that_follows_and_a_floor_only_what_is_before_it() -> None:
    assert Law(8, 3).dues(1000, 4, "", stall=(2, 100)) == [1008, 1011, 1114, 1117]
    assert Law(8, 3).dues(1000, 4, "", floor_ns=1012) == [1012, 1012, 1014, 1017]


@pytest.mark.parametrize(
    ("tokens", "per_chunk", "ends"),
    [(1, 1, [1]), (3, 1, [1, 2, 3]), (1, 4, [1]), (5, 4, [1, 5]), (6, 4, [1, 5, 6]), (10, 4, [1, 5, 9, 10])],
)
def test_the_first_token_is_a_chunk_of_its_own(tokens: int, per_chunk: int, ends: list[int]) -> None:
    assert chunk_ends(tokens, per_chunk) == ends


def test_no_chunk_crosses_the_end_of_the_reasoning() -> None:
    assert chunk_ends(10, 4, border=3) == [1, 3, 7, 10]
    assert chunk_ends(10, 4, border=1) == chunk_ends(10, 4, border=10) == chunk_ends(10, 4)


def test_a_word_is_one_token_with_nothing_to_escape() -> None:
    text = words("x", 1000).decode()
    said = [text[place : place + 7] for place in range(0, 7000, 7)]
    assert all(word[0] == " " and word[1:].isalpha() and word.isascii() and word.islower() for word in said)
    assert len({*said}) > 990
    assert words("x", 20) == words("x", 1000)[:140]
    assert words("y", 20) != words("x", 20)


def test_a_value_on_a_bound_belongs_to_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.total == 14.0


def test_token_bounds_go_up_to_the_context() -> None:
    assert token_bounds(1024)[-3:] == (200.0, 500.0, 1000.0)


def test_many_values_are_counted_as_each_would_be() -> None:
    one, many = Histogram((1.0, 2.0)), Histogram((1.0, 2.0))
    values = [9.0, 0.5, 2.0, 1.0, 1.5, 0.5, 7.0]
    for value in values:
        one.observe(value)
    many.observe_all([*values])
    assert many.counts == one.counts == [3, 2, 2]
    assert many.total == one.total


def test_the_watch_never_wakes_early_and_can_wake_within_the_millisecond() -> None:
    watch, late = new_watch(), []
    for _ in range(40):
        due = time.monotonic_ns() + 300_000
        assert watch.wait(300_000) == []
        late.append(time.monotonic_ns() - due)
    watch.close()
    assert min(late) >= 0
    assert min(late) < 400_000  # waits in whole milliseconds are late by 700 us at the least


def test_the_reader_takes_requests_however_they_are_cut() -> None:
    text = (
        b"POST /a?q=1 HTTP/1.1\r\nX-Y:  z \r\nContent-Length: 3\r\n\r\nabc"
        b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n"
        b"GET /c HTTP/1.0\r\n\r\n"
    )
    for size in (1, 7, len(text)):
        reader, taken = RequestReader(), []
        for start in range(0, len(text), size):
            reader.feed(text[start : start + size])
            while request := reader.next():
                taken.append((request.method, request.path, request.body, request.keep_alive))
        assert taken == [
            ("POST", "/a", b"abc", True),
            ("POST", "/b", b"abc", True),
            ("GET", "/c", b"", False),
        ]


@pytest.mark.parametrize(
    "text",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1000000000000000000\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: %b\r\n\r\n" % (b"9" * 5_000),
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 4 * 1024 * 1024,
    ],
)
def test_what_is_no_request_is_said_to_be_none(text: bytes) -> None:
    reader = RequestReader()
    reader.feed(text)
    with pytest.raises(MalformedError):
        reader.next()


async def test_requests_sent_ahead_are_answered_in_order_and_old_clients_get_a_plain_body(
    tmp_path: Path,
) -> None:
    body = b'{"prompt":"x","max_tokens":2,"stream":true}'
    start = b"POST /v1/completions HTTP/%b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    with simulator(tmp_path, "--ttft-ms", "1", key="") as sim:
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        writer.write(
            start % (b"1.1", len(body), body)
            + b"GET /ping HTTP/1.1\r\n\r\n"
            + start % (b"1.0", len(body), body)
        )
        async with asyncio.timeout(10):
            text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    chunked, ping, plain = text.split("HTTP/1.1 200 OK\r\n")[1:]
    assert "transfer-encoding: chunked" in chunked
    assert chunked.endswith("data: [DONE]\n\n\r\n0\r\n\r\n")
    assert ping.endswith("content-length: 0\r\n\r\n")
    assert "connection: close\r\n\r\ndata: {" in plain
    assert plain.endswith("}\n\ndata: [DONE]\n\n")

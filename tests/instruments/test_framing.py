"""A response is the same response however the network cuts it up."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.transport.framing import ResponseFraming
from tests.instruments.shapes import fuzz

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;note="a"\r\nhello\r\n1\r\n,\r\n00A\r\n 0123\r\n789\r\n0;last\r\nX-Took: 3\r\nX-Cache: no\r\n\r\n'
)
COUNTED = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nConnection: close\r\n\r\nhello\r\n\r\nab"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"

WHOLE = [
    pytest.param(CHUNKED, 200, b"hello, 0123\r\n789", True, id="chunked"),
    pytest.param(COUNTED, 200, b"hello\r\n\r\nab", False, id="content-length"),
    pytest.param(INTERIM + CHUNKED, 200, b"hello, 0123\r\n789", True, id="interim-first"),
    pytest.param(EMPTY, 200, b"", True, id="empty-body"),
    pytest.param(NO_CONTENT, 204, b"", True, id="204"),
]


def fed(*pieces: bytes) -> ResponseFraming:
    framing = ResponseFraming()
    for at_ns, piece in enumerate(pieces):
        if piece:
            framing.feed(piece, at_ns)
    return framing


def body(framing: ResponseFraming) -> bytes:
    return b"".join(piece for _, piece in framing.pieces)


@pytest.mark.parametrize(("wire", "status", "text", "keep_alive"), WHOLE)
def test_a_response_cut_at_any_byte_is_the_same_response(
    wire: bytes, status: int, text: bytes, keep_alive: bool
) -> None:
    for cut in range(len(wire) + 1):
        framing = fed(wire[:cut], wire[cut:])
        assert (framing.status, body(framing), framing.complete) == (status, text, True), cut
        assert framing.keep_alive is keep_alive


@pytest.mark.parametrize(("wire", "status", "text", "keep_alive"), WHOLE)
def test_a_response_byte_by_byte_is_complete_with_its_last_byte_and_not_before(
    wire: bytes, status: int, text: bytes, keep_alive: bool
) -> None:
    framing = fed(*(wire[i : i + 1] for i in range(len(wire) - 1)))
    assert not framing.complete
    framing.feed(wire[-1:], 0)
    assert framing.complete
    assert (framing.status, body(framing), framing.keep_alive) == (status, text, keep_alive)


def test_a_body_without_a_length_ends_when_the_peer_closes() -> None:
    framing = fed(b"HTTP/1.1 200 OK\r\n\r\nab", b"cd")
    assert (framing.complete, framing.keep_alive) == (False, False)
    assert framing.end_of_stream()
    assert (framing.complete, body(framing)) == (True, b"abcd")


@pytest.mark.parametrize("wire", [CHUNKED, COUNTED])
def test_a_close_before_the_last_byte_completes_nothing(wire: bytes) -> None:
    for cut in range(len(wire)):
        framing = fed(wire[:cut])
        assert not framing.end_of_stream(), cut


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_that_has_no_body_has_none_whatever_the_fields_say(status: int) -> None:
    assert fed(f"HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n".encode()).complete


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        ("HTTP/1.1", None, True),
        ("HTTP/1.1", "keep-alive", True),
        ("HTTP/1.1", "Close", False),
        ("HTTP/1.1", "close, TE", False),
        ("HTTP/1.0", None, False),
        ("HTTP/1.0", "Keep-Alive", True),
    ],
)
def test_a_connection_is_kept_as_the_version_and_the_field_say(
    version: str, connection: str | None, keep_alive: bool
) -> None:
    field = f"Connection: {connection}\r\n" if connection else ""
    framing = fed(f"{version} 200 OK\r\n{field}Content-Length: 0\r\n\r\n".encode())
    assert framing.keep_alive is keep_alive


def test_a_field_that_goes_on_in_the_next_line_is_one_field() -> None:
    framing = fed(b"HTTP/1.1 200 OK\r\nX-Note: a\r\n \t b\r\nContent-Length: 0\r\n\r\n")
    assert (framing.complete, framing.head["x-note"]) == (True, "a b")


def test_the_header_says_whether_the_body_comes_in_chunks() -> None:
    assert fed(CHUNKED).chunked
    assert not fed(CHUNKED[:60]).chunked
    assert not fed(COUNTED).chunked


def test_each_body_piece_carries_the_instant_of_its_arrival() -> None:
    framing = ResponseFraming()
    assert framing.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", 1) is False
    assert framing.feed(b"\r\n3\r\nab", 2) is True
    assert framing.feed(b"c\r\n2\r\nde\r\n2", 30) is False
    framing.feed(b"\r\n", 40)
    framing.feed(b"fg\r\n0\r\n\r\n", 500)
    assert framing.pieces == [(2, b"ab"), (30, b"c"), (30, b"de"), (500, b"fg")]


@fuzz
@given(text=st.binary(max_size=300), data=st.data())
def test_any_body_comes_through_any_chunks_and_any_cuts(text: bytes, data: st.DataObject) -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    left = text
    while left:
        size = data.draw(st.integers(1, len(left)))
        wire += f"{size:X}\r\n".encode() + left[:size] + b"\r\n"
        left = left[size:]
    wire += b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    framing = fed(*(wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)))
    assert (framing.complete, body(framing)) == (True, text)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 60_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n" + b"a" * 300_000 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000 + EMPTY,
    ],
    ids=["header", "trailer", "chunk", "interim-answers"],
)
def test_tiny_pieces_cost_time_in_proportion(wire: bytes) -> None:
    # Processor time, and a bound many times what is needed: only a blow-up can reach it.
    began = time.process_time()
    assert fed(*(wire[i : i + 1] for i in range(len(wire)))).complete
    assert time.process_time() - began < 5


def test_any_number_of_interim_answers_in_one_piece_is_read() -> None:
    assert fed(b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000 + EMPTY).complete

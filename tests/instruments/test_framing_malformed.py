"""Bytes that are not an HTTP/1.1 response are said to be malformed; nothing else is ever raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.transport.framing import CHUNK_LINE_LIMIT, HEADER_LIMIT, MalformedResponse, ResponseFraming
from tests.instruments.shapes import fuzz

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

BROKEN = {
    "no version": b"OK 200\r\n\r\n",
    "another protocol": b"HTTP/2 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status in words": b"HTTP/1.1 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status of superscripts": b"HTTP/1.1 \xb2\xb9\xb2 x\r\n\r\n",
    "a field without a colon": HEAD + b"no colon\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length of superscripts": HEAD + b"Content-Length: \xb2\r\n\r\n",
    "a length beyond int()": HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a coding that nobody asked for": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "more body than said": HEAD + b"Content-Length: 2\r\n\r\nabc",
    "a body after 204": b"HTTP/1.1 204 No Content\r\n\r\nx",
    "bytes after the last chunk": CHUNKED + b"0\r\n\r\nx",
    "bytes after a trailer": CHUNKED + b"0\r\nX: y\r\n\r\nx",
    "a chunk longer than said": CHUNKED + b"3\r\nabcd\r\n",
    "a chunk with a bare LF": CHUNKED + b"3\r\nabc\n0\r\n\r\n",
    "a chunk with half a CRLF": CHUNKED + b"3\r\nabc\rx",
    **{
        f"a chunk size of {size!r}": CHUNKED + size + b"\r\n"
        for size in (b"-1", b"+1", b"1_0", b"0x10", b"", b"g", b";x", b"1 1", b"1" * 17)
    },
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN.keys())
def test_it_is_malformed_in_one_piece_and_byte_by_byte(wire: bytes) -> None:
    with pytest.raises(MalformedResponse):
        ResponseFraming().feed(wire, 0)
    framing = ResponseFraming()
    with pytest.raises(MalformedResponse):  # noqa: PT012 - whichever byte shows it
        for i in range(len(wire)):
            framing.feed(wire[i : i + 1], i)


def test_the_same_length_said_twice_is_one_length() -> None:
    framing = ResponseFraming()
    framing.feed(HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 0)
    assert framing.complete


def test_bytes_after_a_complete_response_are_malformed() -> None:
    framing = ResponseFraming()
    framing.feed(HEAD + b"Content-Length: 0\r\n\r\n", 0)
    with pytest.raises(MalformedResponse, match="3 bytes came after the end"):
        framing.feed(b"abc", 1)


def test_a_chunk_size_line_is_bounded_at_the_same_length_whole_or_in_bytes() -> None:
    longest = b"1;" + b"x" * (CHUNK_LINE_LIMIT - 2)
    for line, allowed in ((longest, True), (longest + b"x", False)):
        wire = CHUNKED + line + b"\r\na\r\n0\r\n\r\n"
        for step in (1, len(wire)):
            framing = ResponseFraming()
            try:
                for i in range(0, len(wire), step):
                    framing.feed(wire[i : i + step], i)
            except MalformedResponse:
                assert not allowed, step
            else:
                assert allowed, step
                assert framing.complete


@pytest.mark.parametrize("start", [HEAD + b"X: ", CHUNKED + b"0\r\nX: "], ids=["header", "trailer"])
def test_a_header_or_trailer_without_an_end_is_given_up(start: bytes) -> None:
    framing = ResponseFraming()
    framing.feed(start, 0)
    with pytest.raises(MalformedResponse, match="end"):  # noqa: PT012 - whichever piece shows it
        for at_ns in range(HEADER_LIMIT // 1_000 + 2):
            framing.feed(b"a" * 1_000, at_ns)


HALF_RIGHT = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            [
                *(HEAD, CHUNKED, b"\r\n", b"\r", b"\n", b":", b"0\r\n\r\n", b"5\r\nhello\r\n", b";x=1\r\n"),
                *(b"Content-Length: 3\r\n", b"HTTP/1.1 100 x\r\n\r\n", b"ffffffffffffffff\r\n"),
            ]
        ),
    ),
    max_size=12,
)


@fuzz
@given(parts=HALF_RIGHT)
def test_whatever_arrives_only_malformed_response_is_raised(parts: list[bytes]) -> None:
    framing = ResponseFraming()
    try:
        for at_ns, part in enumerate(parts):
            framing.feed(part, at_ns)
    except MalformedResponse:
        return
    framing.end_of_stream()


@fuzz
@given(parts=HALF_RIGHT)
def test_what_is_complete_whole_is_complete_in_bytes_with_the_same_body(parts: list[bytes]) -> None:
    wire = b"".join(parts)
    assert _reading(wire, max(1, len(wire))) == _reading(wire, 1)


def _reading(wire: bytes, step: int) -> tuple[int | None, bool, bytes] | None:
    framing = ResponseFraming()
    try:
        for i in range(0, len(wire), step):
            framing.feed(wire[i : i + step], i)
    except MalformedResponse:
        return None
    return framing.status, framing.complete, b"".join(piece for _, piece in framing.pieces)

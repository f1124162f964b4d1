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
    "a chunk longer than said": CHUNKED + b"3\r\nabcd\r\n",
    "a chunk with a bare LF": CHUNKED + b"3\r\nabc\n0\r\n\r\n",
    "a chunk with half a CRLF": CHUNKED + b"3\r\nabc\rx",
    **{
        f"a chunk size of {size!r}": CHUNKED + size + b"\r\n"
        for size in (b"-1", b"+1", b"1_0", b"0x10", b"", b"g", b";x", b"1 1", b"1" * 17, b"\n5", b"5\v")
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


SURPLUS = {
    "more body than said": (HEAD + b"Content-Length: 2\r\n\r\nab", b"ab"),
    "a body after 204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "bytes after the last chunk": (CHUNKED + b"1\r\na\r\n0\r\n\r\n", b"a"),
    "bytes after a trailer": (CHUNKED + b"0\r\nX: y\r\n\r\n", b""),
}


@pytest.mark.parametrize(("wire", "body"), SURPLUS.values(), ids=SURPLUS.keys())
def test_bytes_after_the_end_leave_the_response_whole_and_its_connection_useless(
    wire: bytes, body: bytes
) -> None:
    for cut in (len(wire), len(wire) - 1, len(wire) + 1):  # in the next piece, or in the one of the end
        framing = ResponseFraming()
        framing.feed((wire + b"xyz")[:cut], 1)
        framing.feed((wire + b"xyz")[cut:], 2)
        assert (framing.complete, framing.keep_alive, framing.surplus) == (True, False, 3)
        assert b"".join(piece for _, piece in framing.pieces) == body


def test_more_after_a_whole_response_is_counted_and_kept_nowhere() -> None:
    framing = ResponseFraming()
    framing.feed(CHUNKED + b"0\r\n\r\n", 1)
    assert framing.keep_alive
    framing.feed(b"HTTP/1.1 200 OK\r\n\r\n", 2)
    assert (framing.complete, framing.keep_alive, framing.surplus, framing.pieces) == (True, False, 19, [])


@pytest.mark.parametrize(
    ("wire", "kept"),
    [
        (CHUNKED + b"1\r\na\r\nzz\r\nb\r\n", b"zz\r\nb\r\n"),
        (CHUNKED + b"1\r\naXb", b"Xb"),
        (CHUNKED + b"1\r\na\rXb", b"Xb"),
        (b"HTTP/1.1 100 x\r\n\r\nSSH-2.0\r\n", b"SSH-2.0\r\n"),
        (HEAD + b"no colon\r\n\r\nbody", HEAD + b"no colon\r\n\r\nbody"),
    ],
    ids=["chunk-size", "chunk-end", "half-chunk-end", "protocol", "field"],
)
def test_what_was_not_understood_is_kept_from_its_beginning(wire: bytes, kept: bytes) -> None:
    framing = ResponseFraming()
    with pytest.raises(MalformedResponse) as raised:
        framing.feed(wire, 1)
    assert (framing.malformed, framing.raw_head) == (str(raised.value), kept)
    byte_by_byte = ResponseFraming()
    with pytest.raises(MalformedResponse):  # noqa: PT012 - whichever byte shows it
        for i in range(len(wire)):
            byte_by_byte.feed(wire[i : i + 1], i)
    assert byte_by_byte.raw_head
    assert kept.startswith(byte_by_byte.raw_head)


def test_no_more_than_two_kilobytes_are_kept() -> None:
    framing = ResponseFraming()
    with pytest.raises(MalformedResponse):
        framing.feed(b"\x15\x03" + b"x" * 10_000, 1)
    assert framing.raw_head == b"\x15\x03" + b"x" * 2_046


def test_a_piece_of_the_right_length_without_the_chunks_end_is_malformed() -> None:
    framing = ResponseFraming()
    framing.feed(CHUNKED + b"3\r\nabc\r\n", 1)
    framing.feed(b"3\r\nabc\r\n", 2)
    with pytest.raises(MalformedResponse, match="longer than its size line says"):
        framing.feed(b"3\r\nabcXX", 3)
    assert framing.raw_head == b"XX"


def test_once_malformed_always_malformed() -> None:
    framing = ResponseFraming()
    for _ in range(2):
        with pytest.raises(MalformedResponse, match="chunk size b'zz'"):
            framing.feed(CHUNKED + b"zz\r\n", 1)
    assert not framing.end_of_stream()


@pytest.mark.parametrize("start", [HEAD + b"X: ", CHUNKED + b"0\r\nX: "], ids=["header", "trailer"])
@pytest.mark.parametrize("over", [0, 1])
def test_a_header_and_a_trailer_are_bounded_at_the_same_length_whole_or_in_pieces(
    start: bytes, over: int
) -> None:
    begun = len(start) if start.startswith(HEAD + b"X") else len(b"X: ")
    wire = start + b"a" * (HEADER_LIMIT + over - begun - 4) + b"\r\n\r\n"
    for step in (len(wire), 4_099):
        assert (_reading(wire, step) is None) == bool(over), step


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

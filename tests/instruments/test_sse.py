"""Server-sent events: what is an event, and at which instant it was complete."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.transport.sse import events
from tests.instruments.shapes import fuzz


def read(*pieces: bytes) -> list[tuple[int, bytes]]:
    """Pieces arrive at instants 1, 2, 3, …"""
    return list(events(enumerate(pieces, start=1)))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_line_ends_with_lf_crlf_or_cr_and_may_be_cut_anywhere(end: bytes) -> None:
    wire = end.join(
        [b": comment", b"data: a", b"", b"event: x", b"data:b", b"data:  c", b"", b"data: d", b"", b""]
    )
    for cut in range(len(wire) + 1):
        assert [data for _, data in read(wire[:cut], wire[cut:])] == [b"a", b"b\n c", b"d"], cut
    assert [data for _, data in read(*(bytes([byte]) for byte in wire))] == [b"a", b"b\n c", b"d"]


def test_line_ends_may_be_mixed() -> None:
    assert read(b"data: a\r\n\ndata: b\r\rdata: c\n\r\ndata: d\r\n\r\n") == [
        (1, b"a"),
        (1, b"b"),
        (1, b"c"),
        (1, b"d"),
    ]


def test_an_event_has_the_instant_of_the_piece_that_ends_its_blank_line() -> None:
    assert read(b"data: a", b"\n", b"\ndata: b\n", b"\n") == [(3, b"a"), (4, b"b")]


def test_an_event_is_not_held_back_until_the_next_one_when_cr_ends_its_lines() -> None:
    assert read(b"data: a\r\r", b"data: b\r\r") == [(1, b"a"), (2, b"b")]


def test_a_crlf_cut_in_its_middle_is_one_line_end() -> None:
    assert read(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [(3, b"a\nb")]


def test_several_events_in_one_piece_share_its_instant() -> None:
    assert read(b"data: a\n\ndata: b\n\n") == [(1, b"a"), (1, b"b")]


@pytest.mark.parametrize(
    "wire", [b"data: a", b"data: a\n", b"data: a\r\n", b"data: a\r", b"\n\n", b": x\n\n", b"id: 1\n\n"]
)
def test_what_has_no_data_or_no_blank_line_is_no_event(wire: bytes) -> None:
    assert read(wire) == []


def test_one_space_after_the_colon_is_left_out_and_no_more() -> None:
    assert read(b"data:  a\n\n") == [(1, b" a")]


def test_a_character_cut_in_its_middle_comes_back_whole() -> None:
    wire = "data: naïve ☃ 𝄞\n\n".encode()
    for cut in range(len(wire)):
        assert [data.decode() for _, data in read(wire[:cut], wire[cut:])] == ["naïve ☃ 𝄞"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_mark_that_begins_the_stream_is_no_part_of_it_and_later_it_is(end: bytes) -> None:
    mark = b"\xef\xbb\xbf"
    wire = mark + b"data: a" + end + end + b"data: " + mark + b"b" + end + end + mark + b"data: c" + end + end
    for cut in range(len(wire) + 1):
        assert [data for _, data in read(wire[:cut], wire[cut:])] == [b"a", mark + b"b"], cut


def test_a_line_that_is_the_name_alone_is_an_empty_value() -> None:
    assert read(b"data\n\n", b"data\ndata: a\n\n", b"datax\n\n") == [(1, b""), (2, b"\na")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_pieces_of_whole_events_and_pieces_cut_anywhere_have_the_same_events(end: bytes) -> None:
    events_of = [
        b"".join([b"data: %d" % number, end, *([b"data:more", end] if number % 3 else []), end])
        for number in range(9)
    ]
    wire = b"".join(events_of)
    whole = read(*events_of)
    late = 1 if end == b"\r\n" else 0  # the CR ends the line, and the LF after it changes nothing
    assert whole == [(n + 1, b"%d\nmore" % n if n % 3 else b"%d" % n) for n in range(9)]
    for size in (1, 2, 3, 5, 8, 13):
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        ends = [len(b"".join(events_of[: n + 1])) - late for n in range(9)]
        assert read(*pieces) == [
            ((end - 1) // size + 1, data) for end, (_, data) in zip(ends, whole, strict=True)
        ]


@fuzz
@given(
    wire=st.lists(st.sampled_from([b"data: a", b"data:", b"\r", b"\n", b"\r\n", b":", b"x"])).map(b"".join),
    data=st.data(),
)
def test_cuts_change_instants_and_never_events(wire: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [one for _, one in read(*pieces)] == [one for _, one in read(wire)]


def test_a_long_line_in_tiny_pieces_costs_time_in_proportion() -> None:
    began = time.process_time()
    assert read(b"data: ", *([b"x"] * 200_000), b"\n\n") == [(200_002, b"x" * 200_000)]
    assert time.process_time() - began < 2

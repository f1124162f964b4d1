"""A stream whose events repeat is read without parsing each: what is found must be what parsing finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.records import Outcome
from instruments.transport import streams
from instruments.transport.answers import Answer
from instruments.transport.openai import interpret
from instruments.transport.repeats import NO_PATTERN, Pattern, learn
from tests.instruments.shapes import ROLE, answered, event, fuzz, request, stream_of, used

# Characters that end a string, begin an escape, or end an event; halves of pairs; what is not printable.
TRICKY = st.text(
    st.sampled_from('ab "\\/{}[]:,\n\r\t\x00\x1f\x7f\xa0é☃𝄞\ud83d\ude00\u2028\ufffd'), max_size=6
)


def learned(chunk: dict[str, Any], text: str) -> Pattern | None:
    data = json.dumps(chunk, ensure_ascii=False).encode()
    return learn(json.loads(data), data, text)


def read(pieces: list[bytes]) -> tuple[Any, ...]:
    answer: Answer = interpret(request(), answered(pieces))
    return answer.outcome, answer.error, answer.generated, answer.said, answer.thought, answer.chunk_tokens


def of_kind(kind: str, text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {kind: text}, "finish_reason": None}]}


def in_halves(pieces: list[bytes]) -> list[bytes]:
    """Cut in the middle, no piece is like the one before: each event is parsed."""
    return [half for piece in pieces for half in (piece[: len(piece) // 2], piece[len(piece) // 2 :])]


@fuzz
@given(
    texts=st.lists(
        st.tuples(st.sampled_from(["content", "reasoning", "reasoning_content"]), TRICKY), max_size=8
    ),
    escaped=st.booleans(),
    tail=st.sampled_from([b"", b"\xff", b'"', b"\\", b"\x00", b"\n", b"\n\n", b"\r", b'"}}]}\n\ndata: {}']),
)
def test_a_stream_says_the_same_whether_its_events_are_parsed_or_compared(
    texts: list[tuple[str, str]], escaped: bool, tail: bytes
) -> None:
    chunks = [ROLE, *(event("seed") for _ in "12"), *(of_kind(kind, text) for kind, text in texts)]
    pieces = [
        b"data: " + json.dumps(chunk, ensure_ascii=escaped).encode("utf-8", "surrogatepass") + b"\n\n"
        for chunk in (*chunks, event("end"))
    ]
    pieces[-1] = pieces[-1].replace(b"end", b"end" + tail)  # bytes that do not belong inside of a string
    pieces += stream_of(event("!", finish="stop"), {"choices": []} | used(len(texts) + 4))
    assert read(pieces) == read(in_halves(pieces)) == read([b"".join(pieces)])


def test_most_events_of_a_stream_are_compared_and_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def noted(data: bytes) -> Any:
        parsed.append(data)
        return json.loads(data)

    monkeypatch.setattr(streams, "loads", noted)
    pieces = stream_of(ROLE, *(event(f" word {n}") for n in range(500)), event(finish="stop"))
    assert read(pieces)[0] is Outcome.COMPLETED
    assert len(parsed) == 3  # the role, the first text, the finish reason
    parsed.clear()
    assert read([b"".join(pieces)])[0] is Outcome.COMPLETED
    assert len(parsed) == 3
    parsed.clear()
    assert read(in_halves(pieces))[0] is Outcome.COMPLETED
    assert len(parsed) == 502  # all, for no piece is a whole event


def test_a_pattern_is_what_stands_around_the_text_of_an_event_on_the_wire() -> None:
    assert learned(event(" a"), " a") == Pattern(
        b'data: {"choices": [{"index": 0, "delta": {"content": "',
        b'"}, "finish_reason": null}]}\n\n',
    )
    pattern = learned(event(None, reasoning="hm"), "hm")
    assert pattern is not None
    assert pattern.reasoning


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        (event("a", finish="stop"), "a"),
        (event("a", reasoning="a"), "a"),
        (event("a") | {"id": "a"}, "a"),
        ({"choices": [{"index": 1, "delta": {"content": "a"}}]}, "a"),
        ({"choices": [{"delta": {"content": "a"}}, {"index": 1, "delta": {}}]}, "a"),
        (event(None, tool_calls=[{"function": {"arguments": "a"}}]), "a"),
    ],
    ids=["finish", "twice", "elsewhere-too", "another-choice", "two-choices", "tool-call"],
)
def test_no_pattern_is_learned_where_more_than_one_text_could_change(
    chunk: dict[str, Any], text: str
) -> None:
    assert learned(chunk, text) is None


def test_a_string_that_only_looks_like_the_text_is_no_pattern() -> None:
    """The quoted text stands once in the bytes, but elsewhere: the content itself is spelled otherwise."""
    data = rb'{"id": "x\\"a\\"", "choices": [{"delta": {"content": "\u0061"}}]}'.replace(rb'\\"', rb"\"")
    assert data.count(b'"a\\"') == 1
    assert learn(json.loads(data), data, "a") is None
    key = rb'{"a": 1, "choices": [{"delta": {"content": "\u0061"}}]}'
    assert key.count(b'"a"') == 1
    assert learn(json.loads(key), key, "a") is None


@pytest.mark.parametrize(
    ("begun", "outcome"),
    [
        (b"data: [\n", Outcome.FAILED),  # the next event's line is the rest of this one's data
        (b": a comment ", Outcome.COMPLETED),  # the next event's first line is the rest of the comment
        (b"da", Outcome.COMPLETED),  # "dadata: " is no field that anybody knows
    ],
)
def test_a_piece_that_looks_like_an_event_may_be_the_rest_of_something_else(
    begun: bytes, outcome: Outcome
) -> None:
    pieces = stream_of(ROLE, event("a"), event("b"), begun, event("c"), event("d", finish="stop"))
    found = read(pieces)
    assert found[0] is outcome
    assert found[3] == (["a", "b", "d"] if outcome is Outcome.COMPLETED else ["a", "b"])
    assert found == read(in_halves(pieces))


def test_events_that_tell_the_count_are_not_compared() -> None:
    pieces = stream_of(
        ROLE | used(0), *(event("a", usage=n + 1) for n in range(5)), event(finish="stop", usage=5)
    )
    assert read(pieces)[5] == [1] * 5


def test_nothing_has_the_pattern_of_none() -> None:
    """Not even what a carriage return, which ends a line by itself, tears into two."""
    for data in (b"", b"x", b"\r", b"hello", b'{"content":"a"}'):
        assert NO_PATTERN.text_of(data) == ""
    torn = b"data: \rhello\r\n\n"
    for rest in ([event("z", finish="stop")], [event("y"), event("z", finish="stop")]):
        pieces = [torn, *stream_of(*rest, used(len(rest)) | {"choices": []})]
        outcome, error, generated, said, thought, chunk_tokens = read(pieces)
        assert (outcome, error, thought) == (Outcome.COMPLETED, None, [])
        assert generated == said == ["y", "z"][-len(rest) :]
        assert chunk_tokens == [1] * len(rest)
        assert read(pieces) == read(in_halves(pieces)) == read([b"".join(pieces)])


def test_no_pattern_is_learned_of_data_that_stood_on_several_lines() -> None:
    """On the wire its second line began with a field name, which a pattern of its data would not ask for."""
    data = b'{"choices":[{"delta":\n{"content":"a"}}]}'
    assert learn(json.loads(data), data, "a") is None
    two = b'data: {"choices":[{"delta":\ndata: {"content":"%b"}}]}\n\n'
    nameless = b'data: {"choices":[{"delta":\n{"content":"c"}}]}\n\n'
    assert read([two % b"a", two % b"b", *stream_of(event("!", finish="stop"))])[3] == ["a", "b", "!"]
    for pieces in ([two % b"a", nameless], [two % b"a", two % b"b", nameless]):
        found = read([*pieces, b"data: [DONE]\n\n"])
        assert found[0] is Outcome.FAILED
        assert found[3] == ["a", "b"][: len(pieces) - 1]
        assert found == read(in_halves([*pieces, b"data: [DONE]\n\n"]))

"""What a stream says, against streams worked out by hand (pieces arrive at 10, 20, 30, …)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from instruments.records import Outcome
from instruments.transport.openai import Answer, interpret
from tests.instruments.shapes import ROLE, answered, event, request, stream_of, used

END: dict[str, Any] = {"choices": []}


def read(*chunks: dict[str, Any] | bytes, done: bool = True) -> Answer:
    return interpret(request(), answered(stream_of(*chunks, done=done)))


def test_a_role_only_chunk_is_data_and_not_a_token() -> None:
    answer = read(ROLE, event("Hel"), event("lo"), event(finish="stop"), END | used(2))
    assert answer.outcome is Outcome.COMPLETED
    assert answer.first_data_ns == 10
    assert answer.chunks_ns == [20, 30]
    assert (answer.prompt_tokens, answer.completion_tokens, answer.finish_reason) == (7, 2, "stop")
    assert answer.chunk_tokens == [1, 1]
    assert answer.text_sha256 == hashlib.sha256(b"Hello").hexdigest()


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
    ],
    ids=["reasoning", "reasoning_content", "tool_calls"],
)
def test_the_first_token_may_be_of_reasoning_or_of_a_tool_call(delta: dict[str, Any]) -> None:
    answer = read(ROLE, event(None, **delta), event("x", finish="stop"), END | used(2))
    assert answer.chunks_ns == [20, 30]


def test_a_completions_stream_is_read_from_text() -> None:
    chunks = [
        {"choices": [{"text": text, "finish_reason": end}]} for text, end in (("a", None), ("b", "length"))
    ]
    answer = read(*chunks, END | used(2))
    assert (answer.chunks_ns, answer.finish_reason) == ([10, 20], "length")
    assert answer.text_sha256 == hashlib.sha256(b"ab").hexdigest()


def test_cumulative_usage_tells_the_tokens_of_each_chunk() -> None:
    answer = read(
        ROLE | used(0),
        event("abc", usage=3),
        event("d", usage=4),
        event("ef", usage=6, finish="length"),
        END | used(6),
    )
    assert answer.chunks_ns == [20, 30, 40]
    assert answer.chunk_tokens == [3, 1, 2]
    assert answer.completion_tokens == 6


def test_a_rise_of_cumulative_usage_without_text_is_a_token() -> None:
    """Half of a character, or a token that a parser holds back."""
    answer = read(ROLE | used(0), event("", usage=1), event("é", usage=2, finish="stop"), END | used(2))
    assert (answer.chunks_ns, answer.chunk_tokens) == ([20, 30], [1, 1])


def test_a_chunk_that_ends_the_answer_without_a_further_token_is_no_token() -> None:
    answer = read(ROLE | used(0), event("a", usage=1), event(usage=1, finish="stop"), END | used(1))
    assert (answer.chunks_ns, answer.chunk_tokens) == ([20], [1])


def test_a_total_told_with_the_finish_reason_only_is_no_late_token() -> None:
    answer = read(ROLE, event("a"), event("b"), event(finish="stop", usage=2))
    assert (answer.chunks_ns, answer.chunk_tokens, answer.completion_tokens) == ([20, 30], [1, 1], 2)


def test_chunks_whose_counts_do_not_add_up_have_no_counts() -> None:
    assert read(ROLE, event("abc"), event("d", finish="stop"), END | used(5)).chunk_tokens is None
    assert (
        read(ROLE, event("a", usage=2), event("b"), event(finish="stop"), END | used(3)).chunk_tokens is None
    )


def test_one_token_is_the_first_and_the_last() -> None:
    answer = read(ROLE, event("a", finish="length"), END | used(1))
    assert (answer.chunks_ns, answer.chunk_tokens, answer.completion_tokens) == ([20], [1], 1)


def test_no_token_is_a_completed_answer_without_a_first_token() -> None:
    answer = read(ROLE, event(finish="stop"), END | used(0))
    assert answer.outcome is Outcome.COMPLETED
    assert (answer.chunks_ns, answer.completion_tokens, answer.text_sha256) == ([], 0, None)


def test_missing_usage_leaves_every_count_undefined() -> None:
    answer = read(ROLE, event("a"), event("b", finish="stop"))
    assert answer.outcome is Outcome.COMPLETED
    assert (answer.prompt_tokens, answer.completion_tokens, answer.chunk_tokens) == (None, None, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "boom"}, "boom"),
        ({"object": "error", "message": "boom", "type": "BadRequestError", "code": 400}, "boom"),
        ({"error": {"message": "boom", "type": "x", "param": None, "code": 500}, "choices": []}, "boom"),
        ({"error": {"message": "out of\nmemory", "type": "x", "code": 500}}, "out of memory"),
    ],
)
def test_an_error_event_under_http_200_is_failed_though_done_follows(body: dict[str, Any], said: str) -> None:
    answer = read(ROLE, event("a"), body, event("b", finish="stop"), END | used(2))
    assert answer.ended
    assert answer.outcome is Outcome.FAILED
    assert answer.error == f"error event: {said}"


@pytest.mark.parametrize("none", [None, False])
def test_an_error_that_is_null_is_no_error(none: bool | None) -> None:
    answer = read(ROLE, event("a", finish="stop") | {"error": none}, END | used(1))
    assert answer.outcome is Outcome.COMPLETED


def test_tokens_before_and_after_an_error_event_are_kept() -> None:
    assert read(ROLE, event("a"), {"error": "boom"}, event("b")).chunks_ns == [20, 40]


@pytest.mark.parametrize("empty", [b"data:\n\n", b"data: \n\n", b"data\n\n"])
def test_an_event_with_nothing_in_it_keeps_a_connection_alive_and_says_nothing(empty: bytes) -> None:
    answer = read(empty, ROLE, empty, event("a", finish="stop"), END | used(1), empty)
    assert (answer.outcome, answer.first_data_ns, answer.chunks_ns) == (Outcome.COMPLETED, 20, [40])


def test_a_finish_reason_that_is_an_empty_word_is_none() -> None:
    chunks = [ROLE, event("a", finish=""), event("b", finish="")]
    assert read(*chunks).outcome is Outcome.TRUNCATED
    assert read(*chunks, event(finish="stop")).finish_reason == "stop"


@pytest.mark.parametrize("finish", [5, ["stop"], True, {"a": 1}])
def test_a_finish_reason_that_is_no_word_is_failed(finish: Any) -> None:
    assert read(ROLE, event("a", finish=finish)).outcome is Outcome.FAILED


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_end_is_read_alike_with_and_without_a_mark_in_front(end: bytes) -> None:
    chunks = stream_of(ROLE, event("a"), event("é", finish="stop"), END | used(2))
    spelled = [chunk.replace(b"\n", end) for chunk in chunks]
    for first in (spelled[0], b"\xef\xbb\xbf" + spelled[0]):
        answer = interpret(request(), answered([first, *spelled[1:]]))
        assert (answer.outcome, answer.text, answer.chunks_ns) == (Outcome.COMPLETED, "aé", [20, 30])


def test_a_stream_without_done_is_truncated() -> None:
    answer = read(ROLE, event("a"), event("b", finish="stop"), END | used(2), done=False)
    assert (answer.outcome, answer.error) == (Outcome.TRUNCATED, "the answer stopped before its end")


def test_a_stream_without_a_finish_reason_is_truncated() -> None:
    assert read(ROLE, event("a"), END | used(1)).outcome is Outcome.TRUNCATED


def test_a_body_without_its_end_is_truncated_though_done_was_seen() -> None:
    pieces = stream_of(ROLE, event("a", finish="stop"))
    assert interpret(request(), answered(pieces, complete=False)).outcome is Outcome.TRUNCATED


def test_an_event_cut_in_its_middle_is_no_token() -> None:
    pieces = [*stream_of(ROLE, event("a"), done=False), b'data: {"choices": [{"delta": {"conte']
    answer = interpret(request(), answered(pieces, complete=False))
    assert (answer.outcome, answer.chunks_ns) == (Outcome.TRUNCATED, [20])


def test_comments_and_blank_lines_of_a_proxy_are_not_chunks() -> None:
    answer = read(b": keep-alive\n\n", ROLE, b"\n\n", event("a", finish="stop"), END | used(1))
    assert (answer.outcome, answer.first_data_ns, answer.chunks_ns) == (Outcome.COMPLETED, 20, [40])

"""What is told of tokens, by one choice or several, and what is only not told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from instruments.records import Outcome
from instruments.transport.answers import Answer
from instruments.transport.openai import TokensSeen, interpret, tokens_seen
from tests.instruments.shapes import ROLE, answered, event, request, stream_of, used

END: dict[str, Any] = {"choices": []}


def read(*chunks: dict[str, Any] | bytes) -> Answer:
    return interpret(request(), answered(stream_of(*chunks)))


def of_choice(index: int, text: str | None, **more: Any) -> dict[str, Any]:
    chunk = event(text, **more)
    chunk["choices"][0]["index"] = index
    return chunk


@pytest.mark.parametrize("told", [{"prompt_tokens": None}, {}, None], ids=["null", "missing", "no-usage"])
def test_a_count_that_is_null_is_not_told_and_nothing_fails(told: Any) -> None:
    answer = read(ROLE, event("a", finish="stop"), END | {"usage": told})
    assert answer.outcome is Outcome.COMPLETED
    assert (answer.prompt_tokens, answer.completion_tokens, answer.chunk_tokens) == (None, None, None)


def test_one_of_two_counts_may_be_told() -> None:
    answer = read(
        ROLE, event("a", finish="stop"), END | {"usage": {"prompt_tokens": None, "completion_tokens": 1}}
    )
    assert (answer.prompt_tokens, answer.completion_tokens, answer.chunk_tokens) == (None, 1, [1])


def test_usage_that_is_null_in_every_chunk_but_the_last_is_read_from_the_last() -> None:
    chunks = [one | {"usage": None} for one in (ROLE, event("a"), event("b", finish="stop"))]
    assert read(*chunks, END | used(2)).chunk_tokens == [1, 1]


def test_a_count_that_was_told_is_not_forgotten_when_it_is_null_later() -> None:
    answer = read(ROLE, event("a", usage=1, finish="stop"), END | {"usage": {"prompt_tokens": None}})
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 1)


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    assert read(
        ROLE, event("a", finish="stop"), END | {"usage": {"completion_tokens": 1.0}}
    ).chunk_tokens == [1]


@pytest.mark.parametrize("count", [-1, 1.5, True, "7", [7], 10**30, 2**53])
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_no_count_of_tokens_fails_the_answer(count: Any, stream: bool) -> None:
    usage = {"usage": {"prompt_tokens": 1, "completion_tokens": count}}
    if stream:
        answer = read(ROLE, event("a", finish="stop"), END | usage)
    else:
        document = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]} | usage
        answer = interpret(request(stream=False), answered([json.dumps(document).encode()]))
    assert answer.outcome is Outcome.FAILED
    assert "completion_tokens is" in (answer.error or "")
    assert answer.kept


def test_an_answer_that_stopped_being_understood_has_no_counts() -> None:
    answer = read(ROLE | used(0), event("a", usage=1), event("b", usage=2), b"data: {\n\n")
    assert (answer.outcome, answer.completion_tokens, answer.chunk_tokens) == (Outcome.FAILED, 2, None)


def test_tokens_and_chunks_of_all_choices_count_and_the_first_is_what_was_said() -> None:
    answer = read(
        of_choice(0, "", role="assistant"),
        of_choice(1, "", role="assistant"),
        of_choice(1, "x"),
        of_choice(0, "a"),
        of_choice(1, "y", finish="length"),
        of_choice(0, "b", finish="stop"),
        END | used(4),
    )
    assert (answer.outcome, answer.finish_reason) == (Outcome.COMPLETED, "stop")
    assert (answer.chunks_ns, answer.chunk_tokens) == ([30, 40, 50, 60], [1, 1, 1, 1])
    assert (answer.text, answer.generated) == ("ab", ["x", "a", "y", "b"])


def test_the_finish_reason_is_that_of_the_first_choice_whichever_ends_first() -> None:
    ends = of_choice(0, "a", finish="stop"), of_choice(1, "b", finish="length")
    assert read(*ends).finish_reason == read(*reversed(ends)).finish_reason == "stop"


def test_each_choice_tells_its_own_total_and_the_answers_is_their_sum() -> None:
    answer = read(
        of_choice(0, "", usage=0, role="assistant"),
        of_choice(1, "", usage=0, role="assistant"),
        of_choice(1, "xx", usage=2),
        of_choice(0, "a", usage=1),
        of_choice(1, "y", usage=3, finish="length"),
        of_choice(0, "bb", usage=3, finish="stop"),
    )
    assert (answer.completion_tokens, answer.chunk_tokens) == (6, [2, 1, 1, 2])


def test_several_choices_in_one_event_are_one_chunk() -> None:
    both = {
        "choices": [
            {"index": n, "delta": {"content": t}, "finish_reason": "stop"} for n, t in ((0, "a"), (1, "b"))
        ]
    }
    answer = read(ROLE, both | used(2))
    assert (answer.chunks_ns, answer.text, answer.outcome) == ([20], "a", Outcome.COMPLETED)


def test_an_answer_is_not_whole_before_every_choice_is() -> None:
    assert read(of_choice(0, "a", finish="stop"), of_choice(1, "b")).outcome is Outcome.TRUNCATED
    assert read(of_choice(0, "a"), of_choice(1, "b", finish="stop")).outcome is Outcome.TRUNCATED


def test_all_choices_of_a_document_are_hashed_and_the_first_is_what_was_said() -> None:
    choices = [
        {"index": n, "message": {"content": t}, "finish_reason": "stop"} for n, t in ((0, "a"), (1, "b"))
    ]
    answer = interpret(request(stream=False), answered([json.dumps({"choices": choices}).encode()]))
    assert (answer.text, answer.generated) == ("a", ["a", "b"])


@pytest.mark.parametrize(
    ("chunks", "seen"),
    [
        ((ROLE, event("a"), event("b"), event(finish="stop"), END | used(2)), [0, 1, 2, 2, 2, 2]),
        ((ROLE | used(0), event("abc", usage=3), event("de", usage=5)), [0, 3, 5, 5]),
        ((ROLE, event("abc"), event("de", finish="stop"), END | used(5)), [0, 1, 2, 5, 5]),
        ((ROLE, event("a"), b"data: {\n\n", event("b")), [0, 1, 1, 1, 1]),
        ((b": ping\n\n",), [0, 0]),
    ],
    ids=["chunks", "told-with-each", "told-at-the-end", "garbage", "comment"],
)
def test_tokens_are_counted_while_they_come(chunks: tuple[Any, ...], seen: list[int]) -> None:
    framing, counter, counted = answered([], complete=False), TokensSeen(request()), []
    for at_ns, piece in enumerate(stream_of(*chunks)):
        framing.feed(f"{len(piece):x}\r\n".encode() + piece + b"\r\n", at_ns)
        counted.append(counter.count(framing))
    assert counted == seen
    assert tokens_seen(request(), framing) == seen[-1]


def test_a_token_is_counted_when_its_event_is_complete_and_not_before() -> None:
    (piece,) = stream_of(event("a"), done=False)
    framing, counter = answered([], complete=False), TokensSeen(request())
    framing.feed(f"{len(piece):x}\r\n".encode(), 1)
    for at in range(len(piece)):
        framing.feed(piece[at : at + 1], 2)
        assert counter.count(framing) == (at == len(piece) - 1)

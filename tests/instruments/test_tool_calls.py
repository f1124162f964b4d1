"""What counts as generated in a chunk: content, reasoning, and what the model wrote of a tool call."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from instruments.records import Outcome
from instruments.transport.answers import Answer
from instruments.transport.openai import interpret
from tests.instruments.shapes import ROLE, answered, event, request, stream_of, used

END: dict[str, Any] = {"choices": []}


def read(*chunks: dict[str, Any] | bytes) -> Answer:
    return interpret(request(), answered(stream_of(*chunks)))


def call(name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    """A part of a tool call as vLLM streams it."""
    written = {"name": name, "arguments": arguments}
    return more | {"index": 0, "function": {key: text for key, text in written.items() if text is not None}}


def test_a_tool_call_is_its_name_and_its_arguments_and_not_the_id_that_the_server_made_up() -> None:
    answers = [
        read(
            ROLE,
            event(None, tool_calls=[call("look_up", "", id=made_up, type="function")]),
            event(None, tool_calls=[call(arguments='{"place"')]),
            event(None, tool_calls=[call(arguments=': "Rome"}')]),
            event(finish="tool_calls"),
            END | used(3),
        )
        for made_up in ("call-1", "call-2")
    ]
    for answer in answers:
        assert (answer.outcome, answer.finish_reason) == (Outcome.COMPLETED, "tool_calls")
        assert (answer.chunks_ns, answer.chunk_tokens) == ([20, 30, 40], [1, 1, 1])
        assert answer.text_sha256 == hashlib.sha256(b'look_up{"place": "Rome"}').hexdigest()
        assert answer.text == ""


@pytest.mark.parametrize(
    "part", [call(id="call-1"), call("", ""), {"index": 0}], ids=["id", "empty", "index"]
)
def test_a_tool_call_in_which_nothing_is_written_yet_is_no_token(part: dict[str, Any]) -> None:
    answer = read(ROLE, event(None, tool_calls=[part]), event("a", finish="stop"), END | used(1))
    assert answer.chunks_ns == [30]


def test_several_calls_in_one_chunk_are_one_chunk() -> None:
    answer = read(ROLE, event(None, tool_calls=[call("a", "1"), call("b", "2")], finish="tool_calls"))
    assert (answer.chunks_ns, answer.generated) == ([20], ["a1b2"])


def test_tool_calls_of_a_document_are_hashed_as_those_of_a_stream() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [call("look_up", "{}", id="x")]}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()
    whole = interpret(request(stream=False), answered([body]))
    parts = read(
        ROLE, event(None, tool_calls=[call("look_up", "{")]), event(None, tool_calls=[call("", "}")])
    )
    assert whole.outcome is Outcome.COMPLETED
    assert whole.text_sha256 == parts.text_sha256 == hashlib.sha256(b"look_up{}").hexdigest()


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_told_apart_from_what_is_said_after_it(name: str) -> None:
    answer = read(
        ROLE,
        *({"choices": [{"delta": {name: word}}]} for word in ("Let", " me", " see")),
        *(event(word) for word in ("It", " is", " 4")),
        event(finish="stop"),
        END | used(6),
    )
    assert (answer.reasoning, answer.text) == ("Let me see", "It is 4")
    assert answer.text_sha256 == hashlib.sha256(b"Let me seeIt is 4").hexdigest()
    assert answer.chunks_ns == [20, 30, 40, 50, 60, 70]


def test_reasoning_comes_before_what_is_said_in_the_same_chunk() -> None:
    assert read(ROLE, event("b", reasoning="a", finish="stop")).generated == ["ab"]


def test_reasoning_of_a_document_is_told_apart() -> None:
    message = {"role": "assistant", "content": "4", "reasoning": "2 + 2"}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    answer = interpret(request(stream=False), answered([body]))
    assert (answer.reasoning, answer.text, answer.generated) == ("2 + 2", "4", ["2 + 24"])


def test_an_emoji_in_two_halves_is_one_character_of_the_text() -> None:
    halves = read(ROLE, event("\ud83d"), event("\ude00"), event(finish="stop"), END | used(2))
    whole = read(ROLE, event("\U0001f600"), event(finish="stop"), END | used(1))
    assert halves.text == whole.text == "\U0001f600"
    assert halves.text_sha256 == whole.text_sha256


def test_half_of_an_emoji_can_be_sent_on_in_a_conversation() -> None:
    answer = read(ROLE, event("a\ud83d"), event(finish="stop"))
    assert answer.text.encode() == "a\ufffd".encode()


@pytest.mark.parametrize("content", [5, ["a"], {"text": "a"}, True])
def test_content_that_is_no_text_is_failed(content: Any) -> None:
    answer = read(ROLE, event("a"), {"choices": [{"delta": {"content": content}}]}, event("b", finish="stop"))
    assert (answer.outcome, answer.text) == (Outcome.FAILED, "a")
    assert answer.kept == json.dumps({"choices": [{"delta": {"content": content}}]}).encode()

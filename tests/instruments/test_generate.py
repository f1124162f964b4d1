"""The plain /generate of simple servers: the text so far, again and again, with the prompt before it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from instruments.records import GENERATE_PATH, Outcome, Request
from instruments.transport.answers import Answer
from instruments.transport.openai import TokensSeen, interpret
from tests.instruments.shapes import answered

PROMPT = "Once upon"


def asked(*, stream: bool = True, prompt: Any = PROMPT) -> Request:
    return Request(0, "request-0", GENERATE_PATH, {"prompt": prompt}, stream)


def rows(*texts: str, end: bytes = b"\n") -> list[bytes]:
    return [json.dumps({"text": [text]}).encode() + end for text in texts]


def read(pieces: list[bytes], *, complete: bool = True, prompt: Any = PROMPT) -> Answer:
    return interpret(asked(prompt=prompt), answered(pieces, complete=complete))


@pytest.mark.parametrize("end", [b"\n", b"\0", b"\r\n"], ids=["LF", "NUL", "CRLF"])
def test_each_object_that_has_more_text_is_a_chunk(end: bytes) -> None:
    answer = read(rows(f"{PROMPT} a", f"{PROMPT} a time", f"{PROMPT} a time.", end=end))
    assert answer.outcome is Outcome.COMPLETED
    assert (answer.first_data_ns, answer.chunks_ns) == (10, [10, 20, 30])
    assert answer.text == " a time."
    assert answer.text_sha256 == hashlib.sha256(b" a time.").hexdigest()


def test_what_the_server_does_not_tell_is_not_known() -> None:
    answer = read(rows(f"{PROMPT} a"))
    assert (answer.prompt_tokens, answer.completion_tokens, answer.chunk_tokens) == (None, None, None)
    assert answer.finish_reason is None


def test_the_same_text_once_more_is_no_chunk() -> None:
    assert read(rows(PROMPT, f"{PROMPT} a", f"{PROMPT} a", f"{PROMPT} a b")).chunks_ns == [20, 40]


def test_a_server_that_does_not_repeat_the_prompt_is_read_as_well() -> None:
    assert read(rows("a", "ab")).text == "ab"
    assert read(rows("a", "ab"), prompt=[1, 2]).text == "ab"


def test_an_object_in_two_pieces_has_the_instant_of_its_end() -> None:
    (row,) = rows(f"{PROMPT} a")
    assert read([row[:9], row[9:-1], row[-1:]]).chunks_ns == [30]
    assert read([row[:9], row[9:-1]]).chunks_ns == [20]  # the last object's end may be that of the body


def test_a_body_that_was_cut_off_is_truncated_and_its_half_object_is_no_chunk() -> None:
    first, second = rows(f"{PROMPT} a", f"{PROMPT} a b")
    answer = read([first, second[:-4]], complete=False)
    assert (answer.outcome, answer.chunks_ns, answer.text) == (Outcome.TRUNCATED, [10], " a")


def test_an_empty_body_is_no_answer() -> None:
    assert read([]).outcome is Outcome.TRUNCATED


def test_the_outputs_of_several_choices_make_one_chunk_and_the_first_is_what_was_said() -> None:
    objects: list[dict[str, Any]] = [{"text": ["a", "x"]}, {"text": ["ab", "x"]}]
    answer = read([json.dumps(one).encode() + b"\n" for one in objects], prompt="")
    assert (answer.chunks_ns, answer.text, answer.generated) == ([10, 20], "ab", ["ab", "x"])


def test_an_error_object_under_http_200_is_failed() -> None:
    answer = read([*rows("a"), b'{"error": {"message": "out of memory"}}\n', *rows("ab")])
    assert (answer.outcome, answer.error) == (Outcome.FAILED, "error object: out of memory")
    assert answer.chunks_ns == [10, 30]  # as with the events of the other APIs, what came is what came


@pytest.mark.parametrize(
    "line", [b"null", b"{}", b'{"text": 5}', b'{"text": []}', b'{"text": [5]}', b"data: {}"]
)
def test_an_object_of_any_other_shape_is_failed_and_kept(line: bytes) -> None:
    answer = read([*rows("a"), line + b"\n", *rows("ab")])
    assert (answer.outcome, answer.kept, answer.chunks_ns) == (Outcome.FAILED, line, [10])


def test_an_answer_that_is_not_streamed_is_one_document() -> None:
    body = json.dumps({"text": [f"{PROMPT} a time."]}).encode()
    answer = interpret(asked(stream=False), answered([body]))
    assert (answer.outcome, answer.text, answer.chunks_ns) == (Outcome.COMPLETED, " a time.", [])
    assert answer.text_sha256 == read(rows(f"{PROMPT} a", f"{PROMPT} a time.")).text_sha256


@pytest.mark.parametrize("body", [b"{}", b'{"text": null}', b'{"text": [1]}', b"[]"])
def test_a_document_of_any_other_shape_is_failed(body: bytes) -> None:
    assert interpret(asked(stream=False), answered([body])).outcome is Outcome.FAILED


def test_tokens_are_counted_while_they_come() -> None:
    request, pieces = asked(), rows("a", "ab", "ab", "abc")
    framing, counter, seen = answered([], complete=False), TokensSeen(request), []
    for at_ns, piece in enumerate(pieces):
        framing.feed(f"{len(piece):x}\r\n".encode() + piece + b"\r\n", at_ns)
        seen.append(counter.count(framing))
    assert seen == [1, 2, 2, 3]

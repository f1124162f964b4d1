"""Every response has an outcome; no bytes, however odd, make reading them an exception."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.records import Outcome
from instruments.transport.framing import MalformedResponse, ResponseFraming
from instruments.transport.openai import ERROR_TEXT_LIMIT, Answer, interpret
from tests.instruments.shapes import ROLE, answered, event, fuzz, request, stream_of, used

DOCUMENT: dict[str, Any] = {
    "choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}


def read(body: bytes, *, stream: bool = False, status: int = 200, complete: bool = True) -> Answer:
    pieces = [body] if body else []
    return interpret(request(stream=stream), answered(pieces, status=status, complete=complete))


def test_a_whole_document_is_completed_with_its_counts_and_without_a_cadence() -> None:
    answer = read(json.dumps(DOCUMENT).encode())
    assert answer.outcome is Outcome.COMPLETED
    assert (answer.prompt_tokens, answer.completion_tokens, answer.finish_reason) == (7, 2, "stop")
    assert (answer.chunks_ns, answer.chunk_tokens, answer.first_data_ns) == ([], None, 10)
    assert answer.text_sha256 == hashlib.sha256(b"Hello").hexdigest()


def test_a_document_that_stopped_in_its_middle_is_truncated_and_not_garbage() -> None:
    assert read(json.dumps(DOCUMENT).encode()[:30], complete=False).outcome is Outcome.TRUNCATED


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Outcome.REFUSED),
        (401, Outcome.REFUSED),
        (404, Outcome.REFUSED),
        (429, Outcome.RATE_LIMITED),
        (503, Outcome.REFUSED),
        (500, Outcome.FAILED),
        (502, Outcome.FAILED),
        (504, Outcome.FAILED),
        (302, Outcome.FAILED),
        (204, Outcome.FAILED),
    ],
)
def test_a_status_other_than_200_has_the_outcome_of_the_table(
    status: int, outcome: Outcome, stream: bool
) -> None:
    framing = ResponseFraming()
    framing.feed(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode(), 1)
    answer = interpret(request(stream=stream), framing)
    assert (answer.outcome, answer.error) == (outcome, f"HTTP {status}: an empty body")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "Unauthorized"}', "Unauthorized"),
        (b'{"error": {"message": "too long", "type": "BadRequest"}}', "too long"),
        (b'{"object": "error", "message": "too long", "type": "BadRequestError"}', "too long"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": ["body"]}]}', "[{'loc': ['body']}]"),
        (b"<html>\n  Bad Gateway\n</html>", "<html> Bad Gateway </html>"),
        (b"[1, 2]", "[1, 2]"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_the_error_is_one_line_in_the_servers_words(body: bytes, said: str) -> None:
    assert read(body, status=400).error == f"HTTP 400: {said}"


def test_a_long_error_is_cut() -> None:
    error = read(b"x" * 100_000, status=500).error
    assert error is not None
    assert len(error) <= ERROR_TEXT_LIMIT


def test_an_error_body_under_http_200_is_failed() -> None:
    answer = read(b'{"error": {"message": "boom"}}')
    assert (answer.outcome, answer.error) == (Outcome.FAILED, "error body under HTTP 200: boom")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_in_a_coding_that_nobody_asked_for_is_failed(coding: str, stream: bool) -> None:
    framing = ResponseFraming()
    framing.feed(
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 2\r\n\r\n\x1fx".encode(), 1
    )
    answer = interpret(request(stream=stream), framing)
    assert answer.outcome is Outcome.FAILED
    assert answer.error == f"the answer is {coding.lower()}-encoded although identity was asked"


def test_an_encoded_refusal_is_a_refusal() -> None:
    framing = ResponseFraming()
    framing.feed(b"HTTP/1.1 429 x\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n\x1f", 1)
    answer = interpret(request(), framing)
    assert answer.outcome is Outcome.RATE_LIMITED
    assert answer.error == "HTTP 429: the answer is gzip-encoded although identity was asked"


def test_identity_is_no_coding() -> None:
    framing = ResponseFraming()
    body = json.dumps(DOCUMENT)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: {len(body)}\r\n\r\n"
    framing.feed((head + body).encode(), 1)
    assert interpret(request(stream=False), framing).outcome is Outcome.COMPLETED


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/json", b'{"error": {"message": "no backend"}}', "no backend"),
        ("text/html; charset=utf-8", b"<html> Log in </html>", "<html> Log in </html>"),
    ],
)
def test_a_page_where_a_stream_was_asked_for_is_failed_and_kept(kind: str, body: bytes, said: str) -> None:
    framing = ResponseFraming()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    framing.feed(head.encode() + body, 1)
    answer = interpret(request(), framing)
    assert (answer.outcome, answer.kept) == (Outcome.FAILED, body)
    assert answer.error == f"no stream came but {kind.split(';')[0]}: {said}"


def test_a_page_that_was_cut_off_is_truncated() -> None:
    framing = ResponseFraming()
    framing.feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<html>", 1)
    answer = interpret(request(), framing)
    assert (answer.outcome, answer.kept) == (Outcome.TRUNCATED, None)


def test_a_malformed_response_says_so_and_keeps_the_tokens_that_came_before_and_the_bytes() -> None:
    framing = answered(stream_of(ROLE, event("a"), done=False), complete=False)
    with pytest.raises(MalformedResponse):
        framing.feed(b"zz\r\nxyz", 99)
    answer = interpret(request(), framing)
    assert (answer.outcome, answer.error) == (Outcome.FAILED, "malformed response: chunk size b'zz'")
    assert (answer.chunks_ns, answer.kept) == ([20], b"zz\r\nxyz")


def test_bytes_after_the_end_do_not_change_the_answer() -> None:
    framing = answered(stream_of(ROLE, event("a", finish="stop")))
    framing.feed(b"HTTP/1.1 400 Bad\r\n\r\n", 99)
    assert interpret(request(), framing).outcome is Outcome.COMPLETED
    assert not framing.keep_alive


@pytest.mark.parametrize("body", [b"{", b'{"choices": 5}', b"x" * 5_000])
def test_what_cannot_be_understood_is_kept_up_to_two_kilobytes(body: bytes) -> None:
    assert read(body).kept == body[:2_048]
    assert interpret(request(), answered([b"data: " + body + b"\n\n"])).kept == body[:2_048]


def test_an_answer_that_is_understood_keeps_nothing() -> None:
    assert read(json.dumps(DOCUMENT).encode()).kept is None
    assert read(b"<html>", status=502).kept is None  # its error says it


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("beside", ["", ', "x": "\\ud800"'], ids=["one-reader", "the-other"])
def test_nan_and_infinity_are_not_json_whichever_reader_sees_them(constant: str, beside: str) -> None:
    body = json.dumps(DOCUMENT)[:-1] + f', "logprobs": {constant}{beside}}}'
    assert read(body.encode()).outcome is Outcome.FAILED


@pytest.mark.parametrize("beside", ["", ', "x": "\\ud800"'], ids=["one-reader", "the-other"])
def test_bytes_that_are_not_utf8_are_not_json_whichever_reader_sees_them(beside: str) -> None:
    body = json.dumps(DOCUMENT)[:-1] + f', "y": "?"{beside}}}'
    assert read(body.encode()).outcome is Outcome.COMPLETED
    for wrong in (b"\xff", b"\xed\xa0\x80"):  # no byte of UTF-8; half a surrogate pair in bytes
        assert read(body.encode().replace(b"?", wrong)).outcome is Outcome.FAILED


def test_a_mark_before_a_document_is_no_part_of_it() -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(DOCUMENT).encode()).outcome is Outcome.COMPLETED


def test_a_response_without_a_status_line_is_failed() -> None:
    assert interpret(request(), ResponseFraming()).outcome is Outcome.FAILED


GARBAGE = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"{}",
    b"NaN",
    b'{"choices": 5}',
    b'{"choices": [5]}',
    b'{"choices": {"0": 1}}',
    b'{"choices": [{"delta": [1]}]}',
    b'{"choices": [{"message": "text"}]}',
    b'{"choices": [], "usage": [1]}',
    b'{"choices": [], "usage": {"prompt_tokens": null}}',
    b'{"choices": [], "usage": {"prompt_tokens": 1e999}}',
    b'{"choices": [], "usage": {"prompt_tokens": NaN}}',
    b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": Infinity}}',
    b"9" * 5_000,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}",
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("body", GARBAGE, ids=[repr(body[:40]) for body in GARBAGE])
def test_a_document_of_any_other_shape_is_failed(body: bytes) -> None:
    answer = read(body)
    assert answer.outcome is Outcome.FAILED
    assert answer.error
    assert read(body, status=500).outcome is Outcome.FAILED


@pytest.mark.parametrize("body", GARBAGE, ids=[repr(body[:40]) for body in GARBAGE])
def test_an_event_of_any_other_shape_never_completes_an_answer(body: bytes) -> None:
    answer = interpret(request(), answered(stream_of(ROLE, event("a"), b"data: " + body + b"\n\n")))
    assert answer.outcome in (Outcome.FAILED, Outcome.TRUNCATED)
    assert answer.chunk_tokens is None


def test_half_of_a_surrogate_pair_is_text_like_any_other() -> None:
    chunks = stream_of(ROLE, event("\ud83d"), event("\ude00", finish="stop"), {"choices": []} | used(2))
    answer = interpret(request(), answered(chunks))
    assert answer.outcome is Outcome.COMPLETED
    assert answer.text_sha256 is not None


def well_formed(answer: Answer) -> bool:
    return isinstance(answer, Answer) and (answer.error is None) == (answer.outcome is Outcome.COMPLETED)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices usage error delta message text content reasoning tool_calls finish_reason "
                "prompt_tokens completion_tokens detail".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@fuzz
@given(body=st.binary(max_size=200), stream=st.booleans(), status=st.sampled_from([200, 400, 500]))
def test_any_bytes_have_an_answer(body: bytes, stream: bool, status: int) -> None:
    assert well_formed(read(body, stream=stream, status=status))


@fuzz
@given(documents=st.lists(ANY_JSON, max_size=4), stream=st.booleans(), status=st.sampled_from([200, 400]))
def test_any_json_has_an_answer_that_has_a_hash_or_none(
    documents: list[Any], stream: bool, status: int
) -> None:
    if stream:
        pieces = stream_of(*(f"data: {json.dumps(one)}\n\n".encode() for one in documents))
    else:
        pieces = [json.dumps(one).encode() for one in documents]
    answer = interpret(request(stream=stream), answered(pieces, status=status))
    assert well_formed(answer)
    assert answer.text_sha256 is None or len(answer.text_sha256) == 64

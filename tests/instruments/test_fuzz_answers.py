"""Some thousand spoiled answers, and what a million of them once found; `python -m tests.fuzz` takes more."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.records import CHAT_PATH, COMPLETIONS_PATH, GENERATE_PATH, Request
from instruments.transport.openai import interpret
from tests.fuzz.__main__ import run
from tests.fuzz.laws import check, read
from tests.fuzz.wire import Case, make_case
from tests.instruments.shapes import answered, fuzz

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_some_thousand_inputs_break_no_law(capsys: pytest.CaptureFixture[str]) -> None:
    assert not run(inputs=6_000, seed=20_261)
    assert capsys.readouterr().out.startswith("6000 inputs in ")


@fuzz
@given(random=st.randoms(use_true_random=False))
def test_inputs_that_hypothesis_chooses_break_no_law(random: Random) -> None:
    check(make_case(random), random)


def test_the_laws_are_able_to_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.fuzz.laws.interpret", lambda _request, _framing: 1 / 0)
    assert sum(run(inputs=5, seed=1).values()) == 5
    assert "input 0 of seed 1: b'" in capsys.readouterr().err


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


FOUND = {
    "half a pair, and its other half in the next chunk": STREAM
    + chunk(b'data: {"choices":[{"text":"\\ud83d"}]}\n\n')
    + chunk(b'data: {"choices":[{"text":"\\ude00","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'),
    "a count that falls": STREAM
    + chunk(b'data: {"choices":[],"usage":{"completion_tokens":12}}\n\n')
    + chunk(b'data: {"choices":[{"text":"a"}],"usage":{"completion_tokens":3}}\n\n'),
    "a chunk that is too long, torn in its end": STREAM + b"3\r\nabc\rXYZ",
    "an event of white space": STREAM + chunk(b"data: \t \n\n") + b"0\r\n\r\n",
    "a comment before the mark": STREAM + chunk(b": x\n\n\xef\xbb\xbfdata: {}\n\n") + b"0\r\n\r\n",
}


@pytest.mark.parametrize("wire", FOUND.values(), ids=FOUND.keys())
@pytest.mark.parametrize("path", [COMPLETIONS_PATH, GENERATE_PATH])
def test_what_was_once_found_breaks_no_law(wire: bytes, path: str) -> None:
    for seed in range(200):  # other cuts each time, some of them byte by byte
        check(Case(Request(0, "request-0", path, {}), wire, closes=True, truth=None), Random(seed))


def test_text_that_a_server_changes_is_not_told_twice() -> None:
    """Half a pair is a text of its own until its other half comes: the text before is no beginning of it."""
    pieces = [b'{"text": ["a\\ud83d"]}\n', b'{"text": ["a\\ud83d\\ude00"]}\n']
    answer = interpret(Request(0, "request-0", GENERATE_PATH, {}), answered(pieces))
    assert (answer.text, answer.generated) == ("a\U0001f600", ["a\U0001f600"])


GROWING = {
    "header": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n",
    "interim": b"HTTP/1.1 100 x\r\n\r\n",
    "chunks": STREAM + b"1\r\na\r\n",
    "extensions": STREAM + b"1;" + b"x" * 1_000 + b"\r\na\r\n",
    "comments": STREAM + chunk(b": x\n\n"),
    "lines": STREAM + chunk(b"data: x\n"),
    "carriage returns": STREAM + chunk(b"data: x\r"),
    "one line": STREAM + chunk(b"x"),
    "events": STREAM + chunk(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'),
    "events to parse": STREAM + chunk(b'data: {"choices":[{"delta":{"content":"\\n"}}]}\n\n'),
    "halves of pairs": STREAM + chunk(b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n'),
    "calls": STREAM + chunk(b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"a"}}]}}]}\n\n'),
}


@pytest.mark.parametrize("wire", GROWING.values(), ids=GROWING.keys())
@pytest.mark.parametrize("step", [1, 13, 1 << 30])
def test_no_input_costs_more_time_than_in_proportion(wire: bytes, step: int) -> None:
    start = len(STREAM) if wire.startswith(STREAM) else 0
    start = start or (17 if wire.endswith(b"X: y\r\n") else 0)
    grown = wire[:start] + wire[start:] * (200_000 // len(wire[start:]))
    pieces = [grown[at : at + step] for at in range(0, len(grown), step)]
    began = time.process_time()
    read(Request(0, "request-0", CHAT_PATH, {}), pieces, closes=True)
    # Many times what is needed, as processors go; only a blow-up reaches it.
    assert time.process_time() - began < 5

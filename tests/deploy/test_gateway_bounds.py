"""Bounds of a body: what is refused before the engine is bothered, and that the rest passes byte for byte."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.gateway.bounds import Ask, BodyRefused, depth_exceeds, read_ask
from deploy.gateway.settings import Bounds
from tests.deploy.gateway_stage import AUTHORIZED, CHAT, stage

OFF = Bounds(None, None, None, False, None, None, None, None)


def nested(levels: int, inner: bytes = b"1") -> bytes:
    """An object of so many levels in all."""
    return b'{"a":' + b"[" * (levels - 1) + inner + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize("levels", [1, 2, 3, 8, 64])
def test_depth_is_exact(levels: int) -> None:
    assert not depth_exceeds(nested(levels), levels)
    assert depth_exceeds(nested(levels + 1), levels)


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b'{"a":[{"b":[{"c":[]}]}],"d":{"e":{}}}', 6),
        (b'{"a":"[[[[[[[[[[[["}', 1),
        (b'{"a":"\\"[[[[[[[","b":["\\\\",[]]}', 3),
        (b'{"a":"]]]]{{{{","b":[[],[],[[]],{},{"[[[[[[":[]}]}', 4),
        (b"[[],[],[],[],[],[],[],[],[],[],[]]", 2),
    ],
)
def test_brackets_in_texts_are_text(text: bytes, depth: int) -> None:
    json.loads(text)
    assert not depth_exceeds(text, depth)
    assert depth_exceeds(text, depth - 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' + b"[[]," * 0 + b"[" + b"[]," * 600_000 + b"[]]}",
        b'{"a":"' + b'\\"' * 1_000_000 + b'","b":' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"a":[' + b'"[",' * 500_000 + b"1]}",
        nested(1000),
        b'{"a":"' + b"\\n" * 2_000_000 + b'","b":' + b"[" * 70 + b"]" * 70 + b"}",
    ],
    ids=["many", "escapes", "texts", "deep", "more escapes"],
)
def test_the_worst_bodies_are_judged_in_a_moment(body: bytes) -> None:
    began = time.process_time()
    for _ in range(3):
        try:
            read_ask(body, Bounds())
        except BodyRefused:
            continue
    assert time.process_time() - began < 6  # some 0.05 s each here; a scan in Python would take minutes


def test_depth_costs_a_few_times_what_parsing_costs() -> None:
    escapes = b'{"a":"' + b"\\n" * 2_000_000 + b'","b":' + b"[" * 70 + b"]" * 70 + b"}"

    def took_s(judge: Callable[[], object]) -> float:
        began = time.process_time()
        judge()
        return time.process_time() - began

    parsing_s = min(took_s(lambda: read_ask(escapes, Bounds(max_depth=None))) for _ in range(3))
    # 2 here; 20 with a regular expression that takes the escapes one by one
    assert min(took_s(lambda: depth_exceeds(escapes, 64)) for _ in range(3)) < 8 * parsing_s


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": 101}, "max_tokens is larger than the 100 allowed"),
        ({"max_completion_tokens": 101, "max_tokens": 1}, "max_completion_tokens is larger"),
        ({"max_output_tokens": 101}, "max_output_tokens is larger"),
        ({"max_tokens": "5"}, "max_tokens must be a whole number, at most 100"),
        ({"max_tokens": 5.0}, "max_tokens must be a whole number"),
        ({"max_tokens": 10**25}, "max_tokens must be a whole number"),
        ({"max_tokens": True}, "max_tokens must be a whole number"),
        ({"max_tokens": [1]}, "max_tokens must be a whole number"),
        ({}, "max_tokens must be given, and at most 100"),
        ({"max_tokens": None}, "max_tokens must be given"),
        ({"max_tokens": 1, "n": 5}, "n is larger than the 4 allowed"),
        ({"max_tokens": 1, "best_of": 5}, "best_of is larger"),
        ({"max_tokens": 1, "n": "2"}, "n must be a whole number"),
        ({"max_tokens": 1, "messages": [{}] * 4}, "messages has more than the 3 entries"),
        ({"max_tokens": 1, "stop": ["a"] * 3}, "stop has more than the 2 entries"),
        ({"max_tokens": 1, "prompt": ["a"] * 3}, "prompt has more than the 2 prompts"),
        ({"max_tokens": 1, "prompt": [[1], [2], [3]]}, "prompt has more than the 2 prompts"),
        ({"max_tokens": 1, "input": ["a"] * 3}, "input has more than the 2 prompts"),
        ({"max_tokens": 1, "x": [[[[[]]]]]}, "deeper than the 5 levels"),
    ],
)
def test_what_is_beyond_a_bound_is_refused_by_its_name(body: dict[str, Any], message: str) -> None:
    bounds = Bounds(None, 5, 100, True, 4, 3, 2, 2)
    with pytest.raises(BodyRefused, match=message):
        read_ask(json.dumps(body).encode(), bounds)
    assert read_ask(json.dumps(body).encode(), OFF)  # a null takes each bound off


@pytest.mark.parametrize(
    ("body", "ask"),
    [
        ({"model": "m", "max_tokens": 7}, Ask("m", 1, 7)),
        ({"max_tokens": 7, "max_completion_tokens": 9}, Ask(None, 1, 9)),
        ({"n": 3, "best_of": 2}, Ask(None, 3, None)),
        ({"n": 2, "prompt": ["a", "b", "c"]}, Ask(None, 6, None)),
        ({"prompt": [1, 2, 3]}, Ask(None, 1, None)),
        ({"prompt": [[1, 2], [3]]}, Ask(None, 2, None)),
        ({"prompt": []}, Ask(None, 1, None)),
        ({"input": [{"role": "user"}, {"role": "user"}]}, Ask(None, 1, None)),
        ({"model": ["m"], "max_tokens": -5, "n": 0}, Ask(None, 1, 0)),
        # as the engine would read them; else they would reserve less than they ask for
        ({"max_tokens": "70", "max_completion_tokens": 9}, Ask(None, 1, 70)),
        ({"max_tokens": 70.0}, Ask(None, 1, 70)),
        ({"max_tokens": "many", "max_output_tokens": 0.5}, Ask(None, 1, None)),
        ({"max_tokens": "inf", "max_output_tokens": "nan"}, Ask(None, 1, None)),
        ({"stream": "on", "stream_options": {"a": 1}}, Ask(None, 1, None, True, {"a": 1})),
    ],
)
def test_what_is_read_off_a_body(body: dict[str, Any], ask: Ask) -> None:
    assert read_ask(json.dumps(body).encode(), Bounds()) == ask


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"[]", b"1", b'"a"', b"null", b'{"a":NaN}', b'{"a":1}x', b"{'a':1}", b'{"a":1,}',
        b'\xef\xbb\xbf{"a":1}', b'{"a":"\xff"}', '{"a":"ä"}'.encode("latin-1"), '{"a":1}'.encode("utf-16"),
        b'{"a":"\\ud800"}', nested(2000),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_json_object_is_400_and_goes_nowhere(body: bytes) -> None:
    async with stage() as (upstream, running):
        response = await running.client.post(CHAT, headers=AUTHORIZED, content=body)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "bad_request"
        assert upstream.requests == []
        assert running.lines()[0]["outcome"] == "refused"


async def test_what_passes_passes_byte_for_byte() -> None:
    bodies = [
        b' {"max_tokens" : 5,\n"max_tokens":6, "x":1e2, "y":0.10, "z":"\\u00e4\\/", "t":"\xc3\xa4"}\r\n',
        b'{"n":16}',
        b'{"model":["wrong"],"messages":"wrong","stop":"x"}',  # the engine's to refuse, in its own words
        nested(64),
        b"{}",
    ]
    async with stage() as (upstream, running):
        for body in bodies:
            assert (await running.client.post(CHAT, headers=AUTHORIZED, content=body)).status_code == 200
        assert [request.body for request in upstream.requests] == bodies


async def test_bounds_are_held_and_taken_off_by_the_settings() -> None:
    body = {"max_tokens": 51, "n": 20}
    async with stage(bounds={"max_tokens": 50}) as (upstream, running):
        response = await running.client.post(CHAT, headers=AUTHORIZED, json=body)
        assert response.status_code == 400
        assert response.json()["error"]["message"] == "max_tokens is larger than the 50 allowed."
        assert upstream.requests == []
    async with stage(bounds={"max_n": None, "max_depth": None, "max_body_bytes": None}) as (
        upstream,
        running,
    ):
        assert (await running.client.post(CHAT, headers=AUTHORIZED, json=body)).status_code == 200
        deep = nested(900, b'"' + b"x" * 5_000_000 + b'"')
        assert (await running.client.post(CHAT, headers=AUTHORIZED, content=deep)).status_code == 200


async def test_the_body_of_a_recording_is_no_json_and_passes() -> None:
    path = "/v1/audio/transcriptions"
    async with stage(routes=[f"POST {path}"]) as (upstream, running):
        content = b"--x\r\n\r\n\xff\xfe\r\n--x--"
        headers = {**AUTHORIZED, "Content-Type": "multipart/form-data; boundary=x"}
        assert (await running.client.post(path, headers=headers, content=content)).status_code == 200
        assert upstream.requests[0].body == content

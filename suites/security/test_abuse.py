"""What does a client get who sends what nobody should send, and does anybody else notice?

Load: single requests, most of them raw bytes. Bound: `security-refusal-s`; a 4xx or the end of the
connection. Needs: gateway; for what the engine heard, its metrics and nobody else beside. Costs about 30 s.
After each abuse a good request is served, and the engine has heard of that one only.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

import pytest

pytestmark = [pytest.mark.security, pytest.mark.needs("gateway", "keys")]

MODELS, CHAT, COMPLETIONS = "/v1/models", "/v1/chat/completions", "/v1/completions"
WAYS = ["front", pytest.param("gateway", marks=pytest.mark.needs("ingress"))]
MIB = 1024 * 1024
SETTLED_S = 2.0  # an engine counts a request a little after its answer


@pytest.fixture
def unheard(request, guest, stack):
    """Counts what the engine hears: the check at the end says that it heard of nothing but good requests."""
    needed = ("exclusive", "engine_metrics")
    counts = None if any(one in stack.missing for one in needed) else request.getfixturevalue("engine_counts")
    before = counts() if counts else 0.0

    def checked(way: str = "front") -> None:
        client = guest(way, key="suite")
        answer = client.get(MODELS)
        assert (answer.status_code, answer.json()["data"][0]["id"]) == (200, stack.model)
        answer = client.post(COMPLETIONS, json={"model": stack.model, "prompt": "hi", "max_tokens": 1})
        assert (answer.status_code, answer.json()["usage"]["completion_tokens"]) == (200, 1)
        until = time.monotonic() + SETTLED_S
        while counts and (more := counts() - before - 1) != 0:
            assert time.monotonic() < until, f"the engine heard of {more:g} more"

    return checked


def chat(stack: Any, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": stack.model, "messages": messages, "max_tokens": 1, **fields}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


REFUSED_BODIES: dict[str, dict[str, Any]] = {
    "n-flood": {"n": 10_000},
    "n-as-text": {"n": "10000"},
    "best-of-flood": {"best_of": 10_000},
    "many-stops": {"stop": ["x"] * 10_000},
    "many-messages": {"messages": [{"role": "user", "content": "x"}] * 100_000},
    "deep": {"metadata": json.loads(nested(400))},
}


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("abuse", REFUSED_BODIES)
def test_floods_in_a_body_are_refused_before_the_engine(guest, stack, unheard, bound, abuse):
    """Thousands of answers, stops or messages in one request are 400, and the engine hears nothing"""
    client = guest(key="suite")
    began = time.monotonic()
    answer = client.post(CHAT, json=chat(stack, **REFUSED_BODIES[abuse]))
    assert answer.status_code in {400, 413}, answer.text[:200]
    assert answer.json()["error"]["code"] == answer.status_code
    assert time.monotonic() - began <= bound("security-refusal-s")
    unheard()


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("tokens", [0, -1, 10**9, 2**63, 1e300, "many"])
def test_a_flood_of_tokens_is_refused(guest, stack, tokens):
    """More tokens than the model has context, or none, are 400 and generate nothing"""
    answer = guest(key="suite").post(CHAT, json=chat(stack, max_tokens=tokens))
    assert answer.status_code == 400, answer.text[:200]
    assert "error" in answer.json()


RAW_BODIES = {
    "no-json": b"{no json",
    "empty": b"",
    "list": b"[]",
    "null-bytes": b"\x00" * 64,
    "not-utf-8": b'{"model": "\xff\xfe", "messages": []}',
    "half-a-character": b'{"model": "t", "prompt": "\xc3',
    "brackets": nested(1_000_000).encode(),
    "braces": b'{"a":' * 200_000,
    "a-long-number": b'{"max_tokens": ' + b"9" * 1_000_000 + b"}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\x00" * 64,
}


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("body", RAW_BODIES)
def test_what_is_no_json_object_is_refused(guest, unheard, bound, body):
    """Bodies that are no JSON object in UTF-8, however deep or broken, are 400, soon"""
    client = guest(key="suite", headers={"Content-Type": "application/json"})
    began = time.monotonic()
    answer = client.post(CHAT, content=RAW_BODIES[body])
    assert answer.status_code in {400, 413}, answer.text[:200]
    assert time.monotonic() - began <= bound("security-refusal-s")
    unheard()


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "chunked"])
@pytest.mark.parametrize("way", WAYS)
def test_a_body_beyond_the_bound_is_413(guest, stack, profile, unheard, way, chunked):
    """A body larger than is allowed is 413, with its length said or not"""
    largest = (profile.gateway.settings.get("bounds") or {}).get("max_body_bytes", 4 * MIB)
    piece = b'{"prompt": "' + b"x" * (largest + 1 - 14) + b'"}'
    body = iter([piece[: MIB // 2], piece[MIB // 2 :]]) if chunked else piece
    answer = guest(way, key="suite", headers={"Content-Type": "application/json"}).post(CHAT, content=body)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == 413
    unheard(way)


HEAD = f"GET {MODELS} HTTP/1.1\r\nHost: localhost\r\n"
HEADER_FLOODS = {
    "one-long-header": f"{HEAD}X-Long: {'x' * 300_000}\r\n\r\n",
    "one-long-name": f"{HEAD}X-{'x' * 300_000}: a\r\n\r\n",
    "many-headers": HEAD + "".join(f"X-{n}: {'y' * 40}\r\n" for n in range(10_000)) + "\r\n",
    "a-long-path": f"GET /v1/{'a' * 300_000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a-long-cookie": f"{HEAD}Cookie: {'a=b; ' * 60_000}\r\n\r\n",
    "a-long-method": f"{'A' * 300_000} {MODELS} HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("flood", HEADER_FLOODS)
@pytest.mark.parametrize("way", WAYS)
def test_a_flood_of_headers_is_refused(wire, unheard, bound, way, flood):
    """Headers without end are a 4xx or the end of the connection, soon"""
    began = time.monotonic()
    with wire(way) as line:
        line.send(HEADER_FLOODS[flood].encode())
        answers = line.answers(bound("security-refusal-s"))
        assert line.closed or answers, "neither an answer nor an end"
    assert {answer.status for answer in answers} <= {400, 404, 405, 413, 414, 431, 501}
    assert time.monotonic() - began <= bound("security-refusal-s") + 1
    unheard(way)


# Shapes at which two servers in a row may disagree where a request ends. INNER is what would be smuggled.
INNER = (
    "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
)
POST = (
    f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {{key}}\r\nContent-Type: application/json\r\n"
)
SMUGGLED = {
    "length-and-chunked": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked-and-length": POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + INNER,
    "two-lengths": POST + "Content-Length: 2\r\nContent-Length: 0\r\n\r\n{{}}" + INNER,
    "a-list-of-lengths": POST + "Content-Length: 2, 0\r\n\r\n{{}}" + INNER,
    "length-with-a-sign": POST + "Content-Length: +0\r\n\r\n" + INNER,
    "negative-length": POST + "Content-Length: -1\r\n\r\n" + INNER,
    "hexadecimal-length": POST + "Content-Length: 0x0\r\n\r\n" + INNER,
    "space-before-the-colon": POST + "Content-Length : 0\r\n\r\n" + INNER,
    "unknown-coding": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked-not-last": POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
    "two-codings": POST + "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "tab-in-the-coding": POST + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunk-without-a-size": POST + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n" + INNER,
    "chunk-size-overflows": POST + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{{}}\r\n" + INNER,
    "negative-chunk": POST + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{{}}\r\n0\r\n\r\n" + INNER,
    "chunk-longer-than-its-size": POST + "Transfer-Encoding: chunked\r\n\r\n1\r\n{{}}\r\n0\r\n\r\n" + INNER,
    "two-hosts": "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n" + INNER,
    "null-in-a-header": "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n" + INNER,
    "line-end-in-a-name": "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX\rA: b\r\n\r\n" + INNER,
    "version-2-in-clear": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "folded-header": POST + "X-A: a\r\n Content-Length: 5\r\nContent-Length: x\r\n\r\n" + INNER,
}


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("shape", SMUGGLED)
@pytest.mark.parametrize("way", WAYS)
def test_no_request_is_smuggled_inside_another(wire, stack, unheard, way, shape):
    """Where one request ends is never a matter of taste: a 4xx or an end, and one answer at most"""
    body = json.dumps({"model": stack.model, "prompt": "smuggled", "max_tokens": 1})
    words = {"key": stack.headers()["Authorization"], "body": body, "length": len(body)}
    with wire(way) as line:
        line.send(SMUGGLED[shape].format(**words).encode("latin-1"))
        answers = line.answers()
        assert line.closed, "the connection goes on after what cannot be understood"
    assert len(answers) <= 1, f"answers: {[answer.status for answer in answers]}"
    assert all(400 <= answer.status < 600 and answer.status != 502 for answer in answers)
    unheard(way)


END = "Connection: close\r\n\r\n"
# Old habits that a server may bear, as long as they mean one thing.
BORNE = {
    "lines-without-return": "GET /v1/models HTTP/1.1\nHost: a\nAuthorization: {key}\nConnection: close\n\n",
    "folded-line": "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-A: a\r\n b\r\n" + END,
    "absolute-address": "GET http://other.invalid/v1/models HTTP/1.1\r\nHost: localhost\r\n" + END,
    "empty-lines-before": "\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + END,
    "version-1.0": "GET /v1/models HTTP/1.0\r\n\r\n",
    "version-0.9": "GET /v1/models\r\n",
    "version-3": "GET /v1/models HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "no-host": "GET /v1/models HTTP/1.1\r\n" + END,
    "upgrade": "GET /v1/models HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n",
}


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("habit", BORNE)
@pytest.mark.parametrize("way", WAYS)
def test_odd_requests_get_one_answer_at_most(wire, stack, way, habit):
    """Odd but harmless requests get one answer, and never more than the key that they show is good for"""
    words = {"key": stack.headers()["Authorization"]}
    with wire(way) as line:
        line.send(BORNE[habit].format(**words).encode())
        answers = line.answers(bound_s=2.0)
    assert len(answers) <= 1
    shows_key = "{key}" in BORNE[habit]
    assert {answer.status for answer in answers} <= ({200} if shows_key else set()) | {
        400,
        401,
        404,
        426,
        505,
    }


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("way", WAYS)
def test_many_slow_clients_keep_nobody_out(guest, wire, stack, bound, way):
    """Fifty connections that never end their headers, and twenty that never end a body, disturb nobody"""
    key = stack.headers()["Authorization"]
    with ExitStack() as held:
        lines = [held.enter_context(wire(way)) for _ in range(70)]
        for number, line in enumerate(lines):
            unfinished = HEAD if number < 50 else f"{POST.format(key=key)}Content-Length: 99999\r\n\r\n{{"
            line.send(unfinished.encode())
        client = guest(way, key="suite")
        for _ in range(10):
            began = time.monotonic()
            assert client.get(MODELS).status_code == 200
            assert client.get("/health").status_code == 200
            assert time.monotonic() - began <= bound("security-health-s")

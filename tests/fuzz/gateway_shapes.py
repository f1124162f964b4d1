"""Requests as nobody should send them: request lines, headers, framing, bodies and paths that break rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

KEY = "sk-fuzz-51c2"
SMUGGLED = b"GET /pause HTTP/1.1\r\nHost: g\r\n\r\n"
PATHS = ("/v1/chat/completions", "/v1/completions", "/generate")
# What vLLM answers without a key, or should not be asked by anybody from outside.
UNGUARDED = ("metrics", "invocations", "tokenize", "detokenize", "pause", "resume", "sleep", "load", "ping",
             "v1/load_lora_adapter", "reset_prefix_cache", "docs", "version", "collective_rpc")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What to write, in pieces; whether a whole answer is owed; whether to leave without reading."""

    kind: str
    pieces: tuple[bytes, ...]
    owed: bool = False
    leaves: bool = False


def make_shape(random: Random) -> Shape:
    """One of all kinds, a quarter of them spoiled in their bytes."""
    shape = random.choice(KINDS)(random)
    if random.random() < 0.25:
        pieces = tuple(_spoiled(random, piece) for piece in shape.pieces)
        return Shape(f"spoiled {shape.kind}", pieces, leaves=random.random() < 0.1)
    if random.random() < 0.03:
        return Shape(f"left {shape.kind}", shape.pieces, leaves=True)
    return shape


def head(random: Random, method: str, target: str | bytes, *lines: bytes) -> bytes:
    """A request's line and headers, with a key more often than not."""
    raw = target.encode("utf-8", "surrogateescape") if isinstance(target, str) else target
    key = random.choice((b"Authorization: Bearer ", b"X-API-Key: ")) + KEY.encode()
    fields = [b"Host: g", *([key] if random.random() < 0.8 else []), *lines]
    return method.encode() + b" " + raw + b" HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def question(random: Random) -> dict[str, Any]:
    """A body that any of the routes could take, or nearly."""
    body: dict[str, Any] = {
        "prompt": "Say ",
        "max_tokens": random.choice((1, 5, 16)),
        "stream": random.random() < 0.3,
    }
    if random.random() < 0.5:
        body |= {"messages": [{"role": "user", "content": "hi"}], "model": "tiny"}
    return body


def nasty(random: Random, depth: int = 0) -> Any:
    """A JSON value of the wrong kind."""
    simple: tuple[Any, ...] = (
        None,
        True,
        -1,
        0,
        1.5,
        2**63,
        2**64,
        10**30,
        1e308,
        "",
        "x" * 300,
        "\x00",
        "ä\u2028",
        "100",
        [],
        {},
    )
    if depth > 3 or random.random() < 0.7:
        return random.choice(simple)
    if random.random() < 0.5:
        return [nasty(random, depth + 1) for _ in range(random.randrange(6))]
    return {random.choice(("a", "model", "", "é")): nasty(random, depth + 1) for _ in range(3)}


def _valid(random: Random) -> Shape:
    if random.random() < 0.3:
        return Shape("valid", (head(random, "GET", "/v1/models"),), owed=True)
    body = json.dumps(question(random)).encode()
    return Shape("valid", (head(random, "POST", random.choice(PATHS), sized(body)) + body,), owed=True)


def _wrong_types(random: Random) -> Shape:
    fields = ("prompt", "messages", "max_tokens", "n", "stop", "stream", "model", "temperature", "best_of",
              "max_completion_tokens", "input", "tools", "stream_options", "logprobs")  # fmt: skip
    body = question(random) | {random.choice(fields): nasty(random) for _ in range(random.randrange(1, 4))}
    text = json.dumps(body).encode()
    return Shape("wrong types", (head(random, "POST", random.choice(PATHS), sized(text)) + text,), owed=True)


def _huge(random: Random) -> Shape:
    size = random.choice((1_000, 60_000, 70_000))
    body = random.choice((
        b"[" * size, b'{"a":' * size, b'{"prompt":"' + b"a" * size + b'"}', b'{"n":' + b"9" * size + b"}",
        b'{"prompt":[' + b"[]," * (size // 3) + b"[]]}", b'{"a":"' + b"\\u0000" * (size // 6) + b'"}',
        b'"' * size, b'{"x":' + b"[" * 900 + b"]" * 900 + b"}", b'{"a":1' + b',"a":1' * (size // 6) + b"}",
    ))  # fmt: skip
    return Shape("huge or deep", (head(random, "POST", random.choice(PATHS), sized(body)) + body,), owed=True)


def _too_large(random: Random) -> Shape:
    if random.random() < 0.5:  # only said to be
        length = random.choice((b"262145", b"99999999999", b"18446744073709551616", b"9" * 40))
        return Shape("too large", (head(random, "POST", PATHS[0], b"Content-Length: " + length) + b"{",))
    body = b'{"prompt":"' + b"x" * 300_000 + b'"}'
    return Shape("too large", (head(random, "POST", PATHS[0], sized(body)) + body,), owed=True)


def _odd_text(random: Random) -> Shape:
    odd = random.choice(
        (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa9", b"\x00", b"\xef\xbb\xbf")
    )
    body = random.choice(
        (b'{"prompt":"' + odd + b'"}', odd + b'{"prompt":"x"}', odd * 20, b'{"' + odd + b'":1}')
    )
    path = PATHS[0].encode() + random.choice((b"", b"", odd, b"?" + odd, b"%ff", b"?a=%00"))
    field = b"X-Odd: " + random.choice((odd, b"a", odd * 30))
    return Shape("odd text", (head(random, "POST", path, field, sized(body)) + body,))


def _paths(random: Random) -> Shape:
    bad = random.choice(UNGUARDED)
    base = random.choice(("/v1/models", "/v1/chat/completions", "/health", "/generate"))
    target = random.choice((
        f"/{bad}", f"//{bad}", f"/v1/../{bad}", f"{base}/../../{bad}", f"/%2e%2e/{bad}",
        f"/v1/%2e%2e/{bad}", f"/v1%2f..%2f{bad}", f"{base}/..%2f{bad}", f"{base}%00/{bad}",
        f"{base};/{bad}", f"{base}?/../{bad}", f"{base}#/{bad}", f"http://g/{bad}",
        f"http://127.0.0.1:8000/{bad}", f"/./{bad}", f"/{bad}/", f"/{bad}%20", f"\\{bad}",
        f"/v1\\..\\{bad}", f"{base}\\..\\{bad}", "//v1/models", "/v1//models", "/v1/models/", "/V1/MODELS",
        f"/{bad}?x=/v1/models", "*", "/", "", "/%", "/%zz", "/v1/chat%2fcompletions",
        "/v1/chat/completions%2f..", f"{base}?{'a=b&' * 500}", f"/{'a' * 5000}",
        f"/v1/models%0d%0aGET%20/{bad}%20HTTP/1.1", f"{base}?x= /{bad}",
    ))  # fmt: skip
    method = random.choice(
        ("GET", "GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT")
    )
    lines = [b"Content-Length: 2"] if method == "POST" else []
    return Shape("paths", (head(random, method, target, *lines) + (b"{}" if lines else b""),))


def _request_lines(random: Random) -> Shape:
    line = random.choice((
        b"GET /v1/models", b"GET /v1/models HTTP/9.9", b"GET /v1/models HTTP/1.0", b"GET /v1/models HTTP/1",
        b"GET /v1/models HTTP/2.0", b"PRI * HTTP/2.0", b" GET /v1/models HTTP/1.1",
        b"GET  /v1/models  HTTP/1.1", b"GET\t/v1/models\tHTTP/1.1", b"get /v1/models HTTP/1.1",
        b"BREW /v1/models HTTP/1.1", b"A" * 9000 + b" / HTTP/1.1", b"GET /v1/models HTTP/1.1 x", b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\r\n\r\nGET / HTTP/1.1",
        b"GET /v1/models\x00 HTTP/1.1", b"GE\x00T / HTTP/1.1", b"HTTP/1.1 200 OK",
        b"GET /v1/models HTTP/1.1\rX: y",
    ))  # fmt: skip
    end = random.choice((b"\r\n", b"\n", b"\r", b"\r\n\r\n"))
    return Shape("request lines", (line + end + b"Host: g\r\nX-API-Key: " + KEY.encode() + b"\r\n\r\n",))


def _headers(random: Random) -> Shape:
    flood = random.choice((
        [b"X-A: b"] * random.choice((10, 100, 2000, 9000)),
        [b"X-Long: " + b"a" * random.choice((8000, 70_000, 200_000))], [b"A" * 70_000 + b": b"],
        [b"X-Fold: a\r\n b\r\n\tc"], [b"X-Bare: a\rInjected: b"], [b"X-Lf: a\nInjected: b"], [b"No colon"],
        [b": nameless"], [b"X Space: b"], [b"X-Space : b"], [b"X-Nul: a\x00b"], [b"X-\xe4: b"],
        [b"Host: other"], [b"Connection: authorization, x-request-id, content-length"],
        [b"Expect: 100-continue"], [b"Expect: the unexpected"],
        [b"Upgrade: websocket", b"Connection: Upgrade"], [b"X-Request-ID: a\tb"],
        [b"Upgrade: h2c", b"HTTP2-Settings: AAA", b"Connection: Upgrade, HTTP2-Settings"],
        [b"X-Request-ID: " + b"i" * 500], [b"Cookie: a=b"] * 50, [b"Content-Encoding: gzip"],
        [b"Accept-Encoding: br, *;q=0"], [b"Range: bytes=0-0,-1"], [b"Origin: https://evil.example"],
        [b"Origin: https://page.example", b"Access-Control-Request-Method: POST"],
        [b"Authorization: Bearer"], [b"Authorization: Bearer " + b"x" * 4000], [b"X-API-Key: \xff\xff"],
        [b"traceparent: 00-zz-zz-01"], [b"traceparent: 00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01"],
    ))  # fmt: skip
    method, path = random.choice((("GET", "/v1/models"), ("OPTIONS", PATHS[0]), ("GET", "/health")))
    return Shape("headers", (head(random, method, path, *flood),))


def _forwarded(random: Random) -> Shape:
    hop = random.choice(
        (b"203.0.113.9", b"::1", b"[::1]:80", b"unknown", b"a" * 3000, b"1.2.3.4, 5.6.7.8", b"\xff", b",,,")
    )
    names = (
        b"X-Forwarded-For",
        b"X-Real-IP",
        b"Forwarded",
        b"X-Client-IP",
        b"True-Client-IP",
        b"CF-Connecting-IP",
    )
    lines = [random.choice(names) + b": " + hop for _ in range(random.randrange(1, 5))]
    return Shape("forwarded", (head(random, "GET", "/v1/models", *lines),))


def _smuggling(random: Random) -> Shape:
    body = b'{"prompt":"x"}'
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    transfer = random.choice((
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"transfer-encoding:\x0bchunked",
        b"Transfer-Encoding:\r\n chunked", b"X: y\rTransfer-Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked", b'Transfer-Encoding: "chunked"', b"Transfer_Encoding: chunked",
        b"Transfer-Encoding: CHUNKED", b"Foo: bar",
    ))  # fmt: skip
    length = random.choice((
        sized(body), b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: +14",
        b"Content-Length: 0x0e", b"Content-Length: -1", b"Content-Length: 14, 14", b"Content-Length: 14 ",
        b"Content-Length: 1 4", b"Content-Length:", b"Content-Length: 0",
        b"Content-Length: 14\r\nContent-Length: 14", b"Content-Length : 14", b"Content_Length: 14",
        b"Content-Length: \xb214", sized(chunked), b"Content-Length: 3",
    ))  # fmt: skip
    lines = [transfer, length]
    random.shuffle(lines)
    kept = lines if random.random() < 0.7 else lines[:1]
    after = random.choice((b"", SMUGGLED, SMUGGLED, b"0\r\n\r\n" + SMUGGLED))
    said = random.choice((body, chunked, chunked, b"0\r\n\r\n"))
    return Shape("smuggling", (head(random, "POST", random.choice(PATHS), *kept) + said + after,))


def _chunks(random: Random) -> Shape:
    body = random.choice((
        b"e\r\n{\"prompt\":\"x\"}\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n", b"-1\r\nx\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n",
        b"5;ext=\"" + b"a" * 20_000 + b"\"\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n",
        b"5\r\nhelloX0\r\n\r\n", b"\r\n", b"g\r\n", b"5\r\nhel",
        b"1\r\n{\r\n" + b"1\r\n \r\n" * 3000 + b"1\r\n}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX-Trailer: y\r\nContent-Length: 5\r\n\r\n",
        b"2\r\n{}\r\n0\r\n" + b"X-Trailer: y\r\n" * 9000 + b"\r\n",
        b"000000000000000000002\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n00\r\n\r\n" + SMUGGLED,
        b"2\r\n{}\r\n0\r\n\r\n" + SMUGGLED, b"2;\r\n{}\r\n0;\r\n\r\n", b"2;a=\n{}\r\n0\r\n\r\n" + SMUGGLED,
    ))  # fmt: skip
    return Shape(
        "chunks", (head(random, "POST", random.choice(PATHS), b"Transfer-Encoding: chunked") + body,)
    )


def _slow(random: Random) -> Shape:
    body = json.dumps(question(random)).encode()
    first, whole = head(random, "POST", random.choice(PATHS), sized(body)), random.random() < 0.7
    cuts = sorted(random.choices(range(len(body)), k=random.randrange(1, 6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body) if whole else cuts[-1]], strict=True)]
    cut = random.randrange(len(first))
    return Shape("slow", (first[:cut], first[cut:], *pieces), owed=whole)


def _pipelined(random: Random) -> Shape:
    parts = [_valid(random).pieces[0] for _ in range(random.randrange(2, 8))]
    if random.random() < 0.3:
        parts.insert(random.randrange(len(parts)), _request_lines(random).pieces[0])
    return Shape("pipelined", (b"".join(parts),))


def _spoiled(random: Random, data: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 2, 4))):
        at, way = random.randrange(len(data) + 1), random.random()
        if way < 0.3:
            data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        elif way < 0.5:
            data = data[:at]
        elif way < 0.7:
            data = (
                data[:at]
                + random.choice((b"\r\n", b"\n", b"\x00", b"\r\n\r\n", b"\xff", b" ", b":", SMUGGLED))
                + data[at:]
            )
        elif way < 0.85:
            data = data[:at] + data[at + random.choice((1, 2, 8, 30)) :]
        else:
            data = data[:at] + data[at : at + random.choice((1, 5, 60))] * 3 + data[at:]
    return data


KINDS: tuple[Callable[[Random], Shape], ...] = (
    _valid, _wrong_types, _wrong_types, _huge, _too_large, _odd_text, _paths, _paths, _request_lines,
    _headers, _headers, _forwarded, _smuggling, _smuggling, _smuggling, _chunks, _chunks, _slow, _pipelined,
)  # fmt: skip

"""Answers put into bytes in the ways of many servers, and spoiled."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from instruments.records import GENERATE_PATH, Request
from tests.fuzz.answers import Truth, make, spell

NASTY_JSON: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**63, 10**400, "", "x", [], [1], {}, {"a": 1}, [[]], float("nan")),
    *(float("inf"), "\ud800", {"message": None}, {"error": "e"}, {"choices": 5}, b"raw", b"\rraw\r"),
)
KEYS = (
    *("choices", "usage", "error", "object", "index", "delta", "message", "text", "content", "reasoning"),
    *("reasoning_content", "tool_calls", "finish_reason", "prompt_tokens", "completion_tokens", "function"),
)
NASTY_BYTES = (
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"'),
    *(b"\\", b"{", b"}", b"[", b":", b"data:", b"data: ", b": ping\n\n", b"0\r\n\r\n", b"0\r\n", b"5\r\n"),
    *(b"ffffffffffffffff\r\n", b"-1\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"data: [DONE]\n\n", b"NaN", b"1e999"),
    *(
        b"data: \r",
        b"data: \rhello\r\n\n",
        b"\ndata: ",
        b'data: {"error": {"message": "m"}}\n\n',
        b"data: [" * 3,
        b"[" * 1_200,
        b'{"a":' * 1_200,
        b"9" * 400,
    ),
)
ENDS = (b"\n", b"\n", b"\n", b"\r\n", b"\r")


@dataclass(frozen=True, slots=True)
class Case:
    """One input: the bytes of a whole connection. `truth` is there only where nothing was spoiled."""

    request: Request
    wire: bytes
    closes: bool
    truth: Truth | None


def make_case(random: Random) -> Case:
    """A fifth as made, the rest spoiled in its JSON, its events, or its bytes."""
    made = make(random)
    spoil = random.random() >= 0.2
    parts = _spoiled_parts(random, made.parts) if spoil and random.random() < 0.5 else made.parts
    body = _body(random, made.request, parts)
    wire, closes = _response(random, body, spoil=spoil)
    if spoil:
        for _ in range(random.choice((0, 1, 1, 2, 4))):
            wire = random.choice(SPOILERS)(random, wire)
    return Case(made.request, wire, closes, None if spoil else made.truth)


def _body(random: Random, request: Request, parts: list[Any]) -> list[bytes]:
    """The body in the units in which a server writes it: events, lines, or one document."""
    escaped = random.random() < 0.5 or any("\\ud" in json.dumps(part) for part in parts if _is_json(part))
    texts = [spell(random, part, whole_text=escaped) for part in parts]
    if not request.stream:
        return [b"".join(texts)]
    if request.path == GENERATE_PATH:
        return [text + random.choice((b"\n", b"\n", b"\0")) for text in texts]
    end, colon = random.choice(ENDS), random.choice((b"data: ", b"data: ", b"data:"))
    if random.random() < 0.1:  # data on several lines
        texts = [text.replace(b'"choices":', b'"choices":' + end + colon) for text in texts]
    events = [colon + text + end + end for text in texts]
    if random.random() < 0.2:
        events.insert(random.randint(0, len(events)), b": keep-alive" + end + end)
    if random.random() < 0.1:
        events.insert(0, b"\xef\xbb\xbf")
    return events


def _is_json(part: Any) -> bool:
    return not isinstance(part, bytes)


def _response(random: Random, units: list[bytes], *, spoil: bool) -> tuple[bytes, bool]:
    """The response, and whether the peer closes after it."""
    status = random.choice((200, 200, 200, 200, 400, 500)) if spoil else 200
    fields = random.choice((b"", b"Content-Type: text/event-stream\r\n", b"Connection: keep-alive\r\n"))
    if spoil and random.random() < 0.1:
        fields += random.choice((b"Content-Encoding: gzip\r\n", b"Content-Type: application/json\r\n"))
    head = b"HTTP/1.1 %d x\r\n%b" % (status, fields)
    if random.random() < 0.1:
        head = b"HTTP/1.1 100 Continue\r\n\r\n" + head
    form, body = random.random(), b"".join(units)
    if form < 0.1:
        return head + b"\r\n" + body, True
    if form < 0.25:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body), False
    if form < 0.4 and body:  # as a proxy would cut it anew
        cuts = sorted(random.choices(range(len(body)), k=random.randint(1, 5)))
        units = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    elif form < 0.5:
        units = [body]
    note = random.choice((b"", b"", b"", b";x=1"))
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(unit), note, unit) for unit in units if unit)
    last = random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-Took: 3\r\n\r\n"))
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + last, random.random() < 0.1


def _spoiled_parts(random: Random, parts: list[Any]) -> list[Any]:
    parts = copy.deepcopy(parts)
    for _ in range(random.choice((1, 1, 2))):
        if not parts:
            break
        place, way = random.randrange(len(parts)), random.random()
        if way < 0.15:
            del parts[place]
        elif way < 0.3:
            parts.insert(random.randrange(len(parts) + 1), parts[place])
        elif way < 0.4:
            parts.insert(place, _nasty(random))
        elif _is_json(parts[place]):
            _spoil_inside(random, parts[place])
    return parts


def _nasty(random: Random) -> Any:
    return copy.deepcopy(random.choice(NASTY_JSON))


def _spoil_inside(random: Random, node: Any) -> None:
    """Put something else somewhere into a tree of objects and lists."""
    while isinstance(node, dict | list) and node:
        key = random.choice(list(node)) if isinstance(node, dict) else random.randrange(len(node))
        if isinstance(node[key], dict | list) and node[key] and random.random() < 0.75:
            node = node[key]
            continue
        way, nasty = random.random(), _nasty(random)
        if way < 0.2:
            del node[key]
        elif way < 0.4 and isinstance(node, dict):
            node[random.choice(KEYS)] = nasty if not isinstance(nasty, bytes) else None
        else:
            node[key] = nasty if not isinstance(nasty, bytes) else None
        return


def _flip(random: Random, wire: bytes) -> bytes:
    at = random.randrange(len(wire) or 1)
    return wire[:at] + bytes([random.randrange(256)]) + wire[at + 1 :]


def _cut_off(random: Random, wire: bytes) -> bytes:
    return wire[: random.randrange(len(wire) + 1)]


def _insert(random: Random, wire: bytes) -> bytes:
    at = random.randrange(len(wire) + 1)
    return wire[:at] + random.choice(NASTY_BYTES) + wire[at:]


def _drop(random: Random, wire: bytes) -> bytes:
    at = random.randrange(len(wire) + 1)
    return wire[:at] + wire[at + random.choice((1, 2, 4, 6, 30)) :]


def _repeat(random: Random, wire: bytes) -> bytes:
    at = random.randrange(len(wire) + 1)
    piece = wire[at : at + random.choice((1, 2, 5, 60))]
    return wire[:at] + piece * random.choice((2, 2, 3)) + wire[at + len(piece) :]


def _append(random: Random, wire: bytes) -> bytes:
    return wire + random.choice((*NASTY_BYTES, wire))


SPOILERS: tuple[Callable[[Random, bytes], bytes], ...] = (_flip, _cut_off, _insert, _drop, _repeat, _append)

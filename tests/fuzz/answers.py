"""Answers that servers might give, made at random, each with what is true of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from instruments.records import CHAT_PATH, COMPLETIONS_PATH, GENERATE_PATH, Request

WORDS = (
    *(" a", "b", " the", "é", "☃", "𝄞", "\u00a0", "\x7f", "\n", "\t", '"', "\\", '"}', "data: ", "}\n\n"),
    *("content", "probe", "[DONE]", "\ud83d", "\ude00", "\x00", "null", "0", "\r\n\r\n", "<", " "),
)
PROMPT = "Say: "


@dataclass(frozen=True, slots=True)
class Truth:
    """What a reader must find in an answer that nobody spoiled."""

    said: str = ""
    thought: str = ""
    chunks: int = 0
    completion_tokens: int | None = None
    chunk_tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An answer before it is put on the wire: a row of events or objects, or one document."""

    request: Request
    parts: list[Any]
    truth: Truth


def make(random: Random) -> Made:
    """Any answer of any API."""
    path = random.choice((CHAT_PATH, CHAT_PATH, COMPLETIONS_PATH, GENERATE_PATH))
    stream = random.random() < 0.85
    request = Request(0, "request-0", path, {"prompt": random.choice((PROMPT, "", [1]))}, stream)
    if path == GENERATE_PATH:
        return _plain(random, request)
    return (_stream if stream else _document)(random, request)


def _text(random: Random) -> str:
    return "".join(random.choices(WORDS, k=random.choice((1, 1, 1, 2, 5))))


def _plain(random: Random, request: Request) -> Made:
    prompt = request.body["prompt"]
    prefix = prompt if isinstance(prompt, str) else ""
    words = [_text(random) for _ in range(random.randint(1, 5))]
    said = "".join(words)
    if not request.stream:
        return Made(request, [{"text": [prefix + said]}], Truth(said))
    parts = [{"text": [prefix + "".join(words[: n + 1])]} for n in range(len(words))]
    return Made(request, parts, Truth(said, "", len(words)))


def _document(random: Random, request: Request) -> Made:
    said, thought, tokens = _text(random), random.choice(("", "hm")), random.randint(1, 9)
    if request.path == CHAT_PATH:
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": said, "reasoning": thought}}
    else:
        choice, thought = {"text": said}, ""
    choice |= {"index": 0, "finish_reason": "stop"}
    told = {"prompt_tokens": 3, "completion_tokens": tokens}
    return Made(
        request,
        [{"choices": [choice], "usage": told}],
        Truth(said, thought, 0, tokens),
    )


def _stream(random: Random, request: Request) -> Made:
    chat, usage = request.path == CHAT_PATH, random.choice(("none", "last", "last", "always"))
    rows = [(random.choice(("said", "said", "said", "thought")) if chat else "said", _text(random))
            for _ in range(random.randint(0, 9))]  # fmt: skip
    sizes = [random.choice((1, 1, 3)) if usage == "always" else 1 for _ in rows]
    head = {"id": "x-1", "object": "chunk", "created": 1, "model": random.choice(("m", " a", "b"))}
    parts: list[Any] = [head | {"choices": [_choice(chat, "role", "")]} | _usage(usage, 0)] if chat else []
    for n, (kind, text) in enumerate(rows):
        parts.append(head | {"choices": [_choice(chat, kind, text)]} | _usage(usage, sum(sizes[: n + 1])))
    end = _choice(chat, "said", "") | {"finish_reason": random.choice(("stop", "length"))}
    parts.append(head | {"choices": [end]} | _usage(usage, sum(sizes)))
    if usage != "none":
        parts.append(head | {"choices": []} | _usage("always", sum(sizes)))
    return Made(request, [*parts, b"[DONE]"], _truth(rows, sizes, told=usage != "none"))


def _choice(chat: bool, kind: str, text: str) -> dict[str, Any]:
    if not chat:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": None}
    name = {"role": "content", "said": "content", "thought": "reasoning"}[kind]
    delta = ({"role": "assistant"} if kind == "role" else {}) | {name: text}
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}


def _usage(mode: str, tokens: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": 3, "completion_tokens": tokens}} if mode == "always" else {}


def _truth(rows: list[tuple[str, str]], sizes: list[int], *, told: bool) -> Truth:
    return Truth(
        said="".join(text for kind, text in rows if kind == "said"),
        thought="".join(text for kind, text in rows if kind == "thought"),
        chunks=len(rows),
        completion_tokens=sum(sizes) if told else None,
        chunk_tokens=tuple(sizes) if told else None,
    )


def spell(random: Random, part: Any, *, whole_text: bool = True) -> bytes:
    """JSON in one of the ways in which servers write it; bytes stand as they are."""
    if isinstance(part, bytes):
        return part
    compact = random.random() < 0.7
    text = json.dumps(
        part, separators=(",", ":") if compact else None, ensure_ascii=whole_text or random.random() < 0.2
    )
    return text.encode("utf-8", "surrogatepass")

"""Bounds: what a request's body may ask for, looked at before the engine is bothered.

The body goes on as it came, byte for byte; only what is read here is looked at. A bounded field of another
kind than a number or a list is refused: the engine would read "100" as 100, and so pass the bound by.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import orjson

from deploy.gateway.settings import Bounds

MAX_TOKENS_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")

LARGE_BYTES = 65_536

_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")  # as signed bytes: a level down, a level up
_TRUE_WORDS = frozenset({"true", "t", "yes", "y", "on", "1"})


class BodyRefused(Exception):
    """The body cannot be passed on: 400. The text is for the client and repeats nothing of the body."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What was read off a body: the model it names, how many sequences, the tokens asked for of each, and
    whether as a stream, with which options."""

    model: str | None
    sequences: int
    max_tokens: int | None
    is_stream: bool = False
    stream_options: Any = None


def read_ask(body: bytes, bounds: Bounds) -> Ask:
    """Hold a body against the bounds. Raises BodyRefused."""
    try:
        document = _parsed(body)
    except orjson.JSONDecodeError:
        raise BodyRefused("The request body is not JSON.") from None
    if not isinstance(document, dict):
        raise BodyRefused("The request body is not a JSON object.")
    if bounds.max_depth is not None and depth_exceeds(body, bounds.max_depth):
        raise BodyRefused(f"The request body is nested deeper than the {bounds.max_depth} levels allowed.")
    return _asked(document, bounds)


def _parsed(body: bytes) -> Any:
    """What a body says. Raises orjson.JSONDecodeError.

    A large one may hold a million lists, each of which makes the collector look at all the others again and
    again: 4 MiB of `[],` took 1.0 s with it and takes 0.2 s without.
    """
    if len(body) < LARGE_BYTES or not gc.isenabled():
        return orjson.loads(body)
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()


def depth_exceeds(body: bytes, levels: int) -> bool:
    """Whether valid JSON is nested deeper than so many levels.

    A few passes at the speed of C, and a step of a loop for each bracket that is not innermost.
    """
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    # Escapes first, in pairs from the left: what quotes are left then are ends of texts.
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_MARKS)
    brackets = b"".join(marks.split(b'"')[::2]).translate(_TO_SQUARE)
    brackets = brackets.replace(b"[]", b"")  # the innermost level, which is most of what there is
    return 1 + max(accumulate(array("b", brackets.translate(_STEPS))), default=0) > levels


def _asked(document: Mapping[str, Any], bounds: Bounds) -> Ask:
    tokens = [
        count
        for field in MAX_TOKENS_FIELDS
        if (count := _count(document, field, bounds.max_tokens)) is not None
    ]
    if bounds.require_max_tokens and not tokens:
        raise BodyRefused(f"max_tokens must be given, and at most {bounds.max_tokens}.")
    each = max(_count(document, field, bounds.max_n) or 1 for field in ("n", "best_of"))
    _length(document, "messages", bounds.max_messages)
    _length(document, "stop", bounds.max_stop)
    prompts = max(_prompts(document, field, bounds.max_prompts) for field in ("prompt", "input"))
    model = document.get("model")
    return Ask(
        model if isinstance(model, str) else None,
        each * prompts,
        max(tokens, default=None),
        _is_true(document.get("stream")),
        document.get("stream_options"),
    )


def _is_true(value: object) -> bool:
    """As the engine reads it, which takes 1 and "yes" too."""
    return value == 1 or (isinstance(value, str) and value.lower() in _TRUE_WORDS)


def _count(document: Mapping[str, Any], field: str, most: int | None) -> int | None:
    """A number of the body; None where there is none."""
    value = document.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        if most is not None and value > most:
            raise BodyRefused(f"{field} is larger than the {most} allowed.")
        return max(0, value)
    if value is not None and most is not None:
        raise BodyRefused(f"{field} must be a whole number, at most {most}.")
    return _as_whole(value)


def _as_whole(value: object) -> int | None:
    """A number that is not written as a whole one, as the engine reads it: 5.0 and "5" are 5."""
    try:
        number = float(value) if isinstance(value, str | float) else None
    except ValueError:
        return None
    return int(number) if number is not None and number.is_integer() and number > 0 else None


def _length(document: Mapping[str, Any], field: str, most: int | None) -> None:
    value = document.get(field)
    if most is not None and isinstance(value, list) and len(value) > most:
        raise BodyRefused(f"{field} has more than the {most} entries allowed.")


def _prompts(document: Mapping[str, Any], field: str, most: int | None) -> int:
    """How many prompts: a list of numbers is one, in tokens; a list of texts or of lists is many."""
    value = document.get(field)
    if not isinstance(value, list) or not value or isinstance(value[0], int | float):
        return 1
    if isinstance(value[0], dict):  # the items of one conversation
        return 1
    if most is not None and len(value) > most:
        raise BodyRefused(f"{field} has more than the {most} prompts allowed.")
    return len(value)

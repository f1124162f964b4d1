"""Faults of answers that show beside others alone, for the correctness suite.

Each strikes while at least CROWD requests are under way, and a moment longer: whoever asks alone is answered
well.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from tests.faults.message import Head
from tests.faults.planting import Answer, Asked, Planted
from tests.faults.rewriting import Edit

CROWD = 3
MOMENT_S = 0.5
TEXT = re.compile(rb'("(?:content|text)":\s*")((?:[^"\\]|\\.)+)(")')


class Crowd:
    """How many requests for tokens are under way, and what the last of them was told."""

    def __init__(self) -> None:
        self.inside = 0
        self.last: dict[str, bytes] = {}
        self._seen_s = float("-inf")

    @property
    def dense(self) -> bool:
        """Whether it is one, or was right before."""
        return time.monotonic() - self._seen_s < MOMENT_S

    def enter(self, asked: Asked) -> Asked:
        """For `request`."""
        self.inside += asked.path.endswith(b"/completions")
        if self.inside >= CROWD:
            self._seen_s = time.monotonic()
        return asked

    async def leave(self, answer: Answer) -> AsyncIterator[bytes]:
        """For `timing`."""
        try:
            async for piece in answer.body:
                yield piece
        finally:
            self.inside -= answer.asked.path.endswith(b"/completions")


crowd = Crowd()


def exchanged(kind: str) -> Edit:
    """The text of this answer to whoever comes next, and to this one the text of the one before."""

    def one(found: re.Match[bytes]) -> bytes:
        last, crowd.last[kind] = crowd.last.get(kind, found[2]), found[2]
        return found[1] + last + found[3]

    return lambda text: TEXT.sub(one, text)


def varied(text: bytes) -> bytes:
    """The first letter of a text as another one, as where rounding hangs on the batch."""

    def one(found: re.Match[bytes]) -> bytes:
        return (
            found[1]
            + re.sub(rb"[a-z]", lambda it: b"q" if it[0] != b"q" else b"z", found[2], count=1)
            + found[3]
        )

    return TEXT.sub(one, text, count=1)


def ids_exchanged() -> Edit:
    """The id of the answer before in each event."""

    def one(found: re.Match[bytes]) -> bytes:
        last, crowd.last["id"] = crowd.last.get("id", found[2]), found[2]
        return found[1] + last + found[3]

    return lambda text: re.sub(rb'("id":\s*")([^"]+)(")', one, text, count=1)


def prompts_exchanged(text: bytes) -> bytes:
    """The count of prompt tokens of the answer before, as if its prompt had been read."""

    def one(found: re.Match[bytes]) -> bytes:
        last, crowd.last["prompt"] = crowd.last.get("prompt", found[2]), found[2]
        return found[1] + last

    return re.sub(rb'("prompt_tokens":\s*)(\d+)', one, text)


def in_crowd(edit: Callable[[], Edit]) -> Callable[[Asked], Edit | None]:
    """For `whole` and `event`: an edit of answers that are not alone."""
    return lambda asked: edit() if crowd.dense and asked.path.endswith(b"/completions") else None


def crowded(name: str, edit: Callable[[], Edit], *, streams_alone: bool = False) -> Planted:
    """A fault of texts, streamed and (unless `streams_alone`) plain."""
    chosen = in_crowd(edit)
    return Planted(
        name, request=crowd.enter, whole=None if streams_alone else chosen, event=chosen, timing=crowd.leave
    )


def without(*fields: str) -> Callable[[Asked], Asked]:
    """A request as it comes to an engine that knows nothing of these fields."""

    def less(asked: Asked) -> Asked:
        if not asked.path.endswith(b"/completions"):
            return asked
        try:
            body = json.loads(asked.body)
        except ValueError:
            return asked
        return asked.with_body(json.dumps({k: v for k, v in body.items() if k not in fields}).encode())

    return less


def shortened(asked: Asked) -> Asked:
    """One token less than was asked for, beside others."""
    asked = crowd.enter(asked)
    if not (crowd.dense and asked.path.endswith(b"/completions")):
        return asked
    body = json.loads(asked.body)
    if body.get("max_tokens", 0) < 2:
        return asked
    return asked.with_body(json.dumps(body | {"max_tokens": body["max_tokens"] - 1}).encode())


def swallowed(asked: Asked, head: Head) -> Head:
    """A client's mistake as 200, beside others."""
    hidden = crowd.dense and 400 <= head.status < 500
    return replace(head, start=b"HTTP/1.1 200 OK") if hidden else head


def stopped_as_length(text: bytes) -> bytes:
    """`stop` told as `length`."""
    return re.sub(rb'"finish_reason":\s*"stop"', b'"finish_reason":"length"', text)


def length_as_stopped(text: bytes) -> bytes:
    """`length` told as `stop`."""
    return re.sub(rb'"finish_reason":\s*"length"', b'"finish_reason":"stop"', text)


def wrong_total(text: bytes) -> bytes:
    """One token more in the total alone."""
    return re.sub(rb'("total_tokens":\s*)(\d+)', lambda found: found[1] + b"%d" % (int(found[2]) + 1), text)


FAULTS = [
    crowded("texts-exchanged", lambda: exchanged("text")),
    crowded("text-varies", lambda: varied),
    crowded("ids-exchanged", ids_exchanged, streams_alone=True),
    crowded("prompts-exchanged", lambda: prompts_exchanged),
    crowded("length-told-as-stop", lambda: length_as_stopped),
    crowded("total-wrong", lambda: wrong_total),
    Planted("short-answers", request=shortened, timing=crowd.leave),
    Planted("mistakes-swallowed", request=crowd.enter, head=swallowed, timing=crowd.leave),
    crowded("stop-told-as-length", lambda: stopped_as_length),
    Planted("stop-ignored", request=without("stop")),
    Planted("logprobs-dropped", request=without("logprobs", "top_logprobs")),
    Planted("format-ignored", request=without("response_format")),
]

"""Tail: the last bytes of an answer, and what they tell once it is complete: tokens, a stream's ending."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

KEEP_BYTES = 8192

_DECODER = json.JSONDecoder()
# vLLM puts the error first in its event. No newline can stand inside JSON, so generated text never matches.
_ERROR_EVENT = re.compile(
    rb'(?:^|[\r\n])(?:data: ?\{\s*(?:"type"\s*:\s*"error"\s*,\s*)?"error"\s*:'
    rb"|event: ?(?:error|response\.failed)[\r\n])"
)


@dataclass(frozen=True)
class Usage:
    """Tokens as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int


class Tail:
    """Collects chunks and forgets all but the last KEEP_BYTES; nothing is parsed while the answer runs."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take one more chunk."""
        self._bytes += chunk
        if len(self._bytes) > 2 * KEEP_BYTES:  # trimmed now and then, not on every event
            del self._bytes[:-KEEP_BYTES]

    def usage(self) -> Usage | None:
        """The last `usage` object, or None. Generated text cannot forge one: its quotes are escaped."""
        text = self._bytes[-KEEP_BYTES:].decode("utf-8", errors="replace")
        at = text.rfind('"usage":')
        while at >= 0:
            usage = _object_at(text, at + len('"usage":'))
            if usage is not None:
                return Usage(
                    _count(usage, "prompt_tokens") or _count(usage, "input_tokens"),
                    _count(usage, "completion_tokens") or _count(usage, "output_tokens"),
                )
            at = text.rfind('"usage":', 0, at)
        return None

    def stream_ending(self) -> Literal["done", "error", "unfinished"]:
        """How a stream ended. An error event outweighs the [DONE] that vLLM sends after it.

        Only the forms of completions say [DONE]: "unfinished" is not yet a verdict.
        """
        last = self._bytes[-KEEP_BYTES:]
        if _ERROR_EVENT.search(last):
            return "error"
        return "done" if last.rstrip().endswith((b"data: [DONE]", b"data:[DONE]")) else "unfinished"


def _object_at(text: str, start: int) -> dict[str, Any] | None:
    start += len(text[start:]) - len(text[start:].lstrip())
    if not text.startswith("{", start):
        return None
    try:
        found, _ = _DECODER.raw_decode(text, start)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _count(usage: dict[str, Any], field: str) -> int:
    value = usage.get(field)
    return value if isinstance(value, int) and value > 0 else 0

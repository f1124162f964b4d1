"""FirstToken: finds the first event of a stream that carries what the model generated."""

from __future__ import annotations

import json
from typing import Any

# Beyond this much without any, nobody looks further: the stream then has no time to its first token.
LOOK_BYTES = 262_144

# Where the stream forms that vLLM speaks put text, reasoning, refusals and calls of tools.
_DELTA_FIELDS = ("content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call")


class FirstToken:
    """Takes chunks as they come, cut anywhere, until `seen`; each byte is looked at once."""

    __slots__ = ("_looked", "_rest", "given_up", "model", "seen")

    def __init__(self) -> None:
        self.seen = False
        self.given_up = False
        self.model: str | None = None
        self._rest = b""
        self._looked = 0

    @property
    def wanted(self) -> bool:
        """Whether the next chunk is of any interest."""
        return not (self.seen or self.given_up)

    def add(self, chunk: bytes) -> bool:
        """Take one more chunk; True once the first generated piece has come whole."""
        self._looked += len(chunk)
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:") and self._generated(line[5:].strip()):
                self.seen, self._rest = True, b""
                return True
        if self._looked > LOOK_BYTES:
            self.given_up, self._rest = True, b""
        return False

    def _generated(self, data: bytes) -> bool:
        if not data.startswith(b"{"):
            return False
        try:
            event = json.loads(data)
        except ValueError:
            return False
        if self.model is None and isinstance(event.get("model"), str):
            self.model = event["model"]
        return carries_generated(event)


def carries_generated(event: dict[str, Any]) -> bool:
    """Whether an event of chat or text completions, responses or messages holds a piece of the generation."""
    choices = event.get("choices")
    if isinstance(choices, list):
        return any(_has_text(choice) for choice in choices if isinstance(choice, dict))
    delta = event.get("delta")
    if isinstance(delta, dict):
        return any(delta.get(name) for name in ("text", "thinking", "partial_json"))
    return isinstance(delta, str) and bool(delta)


def _has_text(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if isinstance(delta, dict):
        return any(delta.get(name) for name in _DELTA_FIELDS)
    return bool(choice.get("text"))

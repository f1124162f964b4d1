"""The pattern of a stream's events: what stays the same from one to the next, around the text.

Used only for events that differ from one that was parsed in nothing but the characters of one string; they
mean what that one means, with other text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instruments.transport.json_text import loads

# Neither an escape after a backslash, nor a hexadecimal digit, nor anything outside of a string.
PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Pattern:
    """`before` and `after` stand around the text in a whole event on the wire, its blank line included;
    `reasoning` says which kind of text it is.
    """

    before: bytes
    after: bytes
    reasoning: bool = False

    def text_of(self, data: bytes) -> str:
        """The text of an event's data; empty when it does not have this pattern."""
        # Compared without the six bytes of "data: " and the two of the blank line.
        before, after = self.before[6:], self.after[:-2]
        if not (data.startswith(before) and data.endswith(after)):
            return ""
        # An invalid byte becomes half of a surrogate pair, which is not printable.
        text = str(data[len(before) : -len(after)], "utf-8", "surrogateescape")
        return text if is_plain(text) else ""


# Nothing has it: what stands between two empty ends, [0:-0], is empty, and that is no text.
NO_PATTERN = Pattern(b"", b"")


def is_plain(text: str) -> bool:
    """Whether JSON spells it as it stands: no quote, no escape, no control character."""
    return text.isprintable() and '"' not in text and "\\" not in text


def learn(event: dict[str, Any], data: bytes, text: str) -> Pattern | None:
    """The pattern of an event that was parsed, when it is certain.

    It is tried out: with other text in the same place the event must be the same event with that text. Then
    the place is inside of a string, and any characters that JSON need not escape can stand there.
    """
    if b"\n" in data:  # of several lines, each with a field name of its own on the wire
        return None
    choices = event["choices"]
    choice = choices[0]
    if len(choices) != 1 or choice.get("index") or choice.get("finish_reason") is not None:
        return None
    part = choice.get("delta") or choice
    names = [name for name in ("content", "reasoning", "reasoning_content", "text") if part.get(name) == text]
    quoted = b'"%b"' % text.encode("utf-8", "surrogatepass")
    if not names or data.count(quoted) != 1:
        return None
    before, _, after = data.partition(quoted)
    before, after = before + b'"', b'"' + after
    part[names[0]] = PROBE
    try:
        alike = loads(before + PROBE.encode() + after) == event
    except (ValueError, RecursionError):
        return None
    return Pattern(b"data: " + before, after + b"\n\n", names[0].startswith("reasoning")) if alike else None

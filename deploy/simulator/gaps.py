"""Gaps: JSON made once for all answers of one shape, with places left open for what one answer puts in."""

import json
from collections.abc import Mapping
from typing import Any

# A NUL is always escaped in JSON, so these stand for nothing that a name or a text could hold.
ID, CREATED, SAID, PROMPT = "\0id", "\0created", "\0said", "\0prompt"
PROMPT_TOKENS, TOKENS, TOTAL = "\0asked", "\0out", "\0sum"


def compact(fields: Mapping[str, Any]) -> bytes:
    """JSON without blanks, UTF-8."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def inside(name: str) -> bytes:
    """The gap `name` as it stands within a JSON string."""
    return json.dumps(name).encode()[1:-1]


def number(name: str) -> bytes:
    """The gap `name` as it stands for a number, with the quotes that the number will not have."""
    return json.dumps(name).encode()


def text(value: str) -> bytes:
    """`value` as it stands within a JSON string, ASCII only."""
    return json.dumps(value).encode()[1:-1]


def put_counts(event: bytes, prompt_tokens: int, tokens: int) -> bytes:
    """`event` with its counts of tokens in their places."""
    return event.replace(OUT, b"%d" % tokens).replace(SUM, b"%d" % (prompt_tokens + tokens))


OUT, SUM = number(TOKENS), number(TOTAL)
SPLIT = inside(SAID)

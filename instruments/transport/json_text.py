"""JSON as answers carry it: read by the quickest reader there is, and what it refuses by a patient one.

Taken: UTF-8, with or without a byte order mark, and escapes of half a surrogate pair, which servers send
when a token ends inside a character. Refused, by both readers alike: NaN and Infinity, which are no JSON.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

# What JSON of any other shape can do to a reader that expects an answer's.
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError)


def loads(data: bytes) -> Any:
    """The value that the bytes spell. Raises ValueError, or RecursionError where it is too deep."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

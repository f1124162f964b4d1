"""What a line of a workload file asks for, and how a bad one is refused: by file, line and expectation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instruments.errors import ConfigurationError
from instruments.workloads.bodies import Message

SEEN_AT_MOST = 120  # characters of a bad line that an error shows
TOKENS_AT_MOST = 10_000_000  # of a prompt or an answer: beyond what any model takes, a slip of the pen
NUMBER_AT_MOST = 1e18  # of a time, in whatever unit: nanoseconds can still be made of it


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt as text or messages, or else only its length; `output_tokens` is None where nobody said."""

    output_tokens: int | None
    prompt: str | tuple[Message, ...] | None = None
    prompt_tokens: int | None = None
    hash_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One request or conversation of a file; `at_s` is when it came, in seconds of the file's own clock."""

    line: int
    turns: tuple[Turn, ...]
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, for errors."""

    path: Path
    line: int

    def refuse(self, expected: str, seen: object) -> ConfigurationError:
        """The error for this line; what was seen is cut."""
        told = seen if isinstance(seen, str) else repr(seen)
        cut = told if len(told) <= SEEN_AT_MOST else f"{told[:SEEN_AT_MOST]}…"
        return ConfigurationError(f"{self.path}:{self.line} cannot be a request", expected=expected, seen=cut)

    def mapping(self, text: str) -> dict[str, Any]:
        """The JSON object of a line."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.refuse(f"a JSON object ({error})", text) from None
        if not isinstance(found, dict):
            raise self.refuse("a JSON object", text)
        return found

    def tokens(self, told: dict[str, Any], key: str, least: int) -> int:
        """A length in tokens under a key: a whole number from `least` to TOKENS_AT_MOST."""
        value = told.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.refuse(f"{key!r}: a whole number of at least {least}", self.under(told, key))
        if value > TOKENS_AT_MOST:
            raise self.refuse(f"{key!r}: at most {TOKENS_AT_MOST:,} tokens", self.under(told, key))
        return value

    def number(self, told: dict[str, Any], key: str) -> float:
        """A number from 0 to NUMBER_AT_MOST under a key."""
        value = told.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= NUMBER_AT_MOST:
            expected = f"{key!r}: a number of at least 0, and at most {NUMBER_AT_MOST:g}"
            raise self.refuse(expected, self.under(told, key))
        return float(value)

    @staticmethod
    def under(told: dict[str, Any], key: str) -> str:
        """What stands under a key, for an error."""
        return repr(told[key]) if key in told else f"no {key!r} among {', '.join(map(repr, told))}"


def lines_of(path: Path) -> Iterator[tuple[Place, str]]:
    """The lines of a file that are not empty, with their places. ConfigurationError for an unreadable one."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                place = Place(path, number)
                try:
                    text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError as error:
                    raise place.refuse("UTF-8", f"{error.reason} at byte {error.start}") from None
                if text:
                    yield place, text
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}", expected="a readable file", seen=error.strerror
        ) from None

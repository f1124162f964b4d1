"""Traces: files that say when requests came and how long they were, not what was asked.

Mooncake (FAST '25), JSONL: {"timestamp": ms, "input_length", "output_length", "hash_ids": [one for each block
of 512 tokens]}; equal hash ids stand for equal blocks of a prompt. Azure LLM inference (2023, 2024), CSV with
TIMESTAMP, ContextTokens, GeneratedTokens. A length of 0, which cannot be asked for, counts as 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from instruments.errors import ConfigurationError
from instruments.workloads.entries import TOKENS_AT_MOST, Entry, Place, Turn, lines_of

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
TICKS = 10_000_000  # a second, in the 100 ns in which Azure's timestamps count


def read_mooncake(path: Path, block_tokens: int) -> Iterator[Entry]:
    """The requests of a Mooncake trace, in the file's order; `at_s` is as in the file."""
    for place, text in lines_of(path):
        told = place.mapping(text)
        tokens, hash_ids = max(1, place.tokens(told, "input_length", 0)), told.get("hash_ids", [])
        if not isinstance(hash_ids, list) or not all(type(one) is int for one in hash_ids):
            raise place.refuse("'hash_ids': a list of whole numbers", repr(hash_ids))
        if hash_ids and len(hash_ids) != -(-tokens // block_tokens):
            raise place.refuse(
                f"{-(-tokens // block_tokens)} hash ids for {tokens} tokens in blocks of {block_tokens}",
                f"{len(hash_ids)} hash ids",
            )
        output_tokens = max(1, place.tokens(told, "output_length", 0))
        turn = Turn(output_tokens, prompt_tokens=tokens, hash_ids=tuple(hash_ids))
        yield Entry(place.line, (turn,), place.number(told, "timestamp") / 1e3)


def read_azure(path: Path) -> Iterator[Entry]:
    """The requests of an Azure trace, in the file's order; `at_s` counts from the file's first request."""
    lines = lines_of(path)
    header = next(lines, None)
    if header is None:
        raise ConfigurationError(f"{path} is empty", expected=f"the columns {', '.join(COLUMNS)}")
    place, text = header
    names = [name.strip() for name in text.split(",")]
    if not set(COLUMNS) <= set(names):
        raise place.refuse(f"the columns {', '.join(COLUMNS)}", text)
    first: int | None = None
    for place, text in lines:
        cells = [cell.strip() for cell in text.split(",")]
        if len(cells) != len(names):
            raise place.refuse(f"{len(names)} cells: {', '.join(names)}", text)
        told = dict(zip(names, cells, strict=True))
        ticks = _ticks(place, told["TIMESTAMP"])
        first = ticks if first is None else first
        tokens, output_tokens = (_tokens(place, told, name) for name in COLUMNS[1:])
        yield Entry(place.line, (Turn(output_tokens, prompt_tokens=tokens),), (ticks - first) / TICKS)


def _tokens(place: Place, told: dict[str, str], name: str) -> int:
    cell = told[name]
    if not (cell.isascii() and cell.isdigit()):
        raise place.refuse(f"{name}: a whole number", cell)
    # Digits are counted first: int() has a bound of its own, and an error that knows no line.
    digits = cell.lstrip("0") or "0"
    if len(digits) > len(str(TOKENS_AT_MOST)) or int(digits) > TOKENS_AT_MOST:
        raise place.refuse(f"{name}: at most {TOKENS_AT_MOST:,} tokens", cell)
    return max(1, int(digits))


def _ticks(place: Place, told: str) -> int:
    """A timestamp in 100 ns since 1970; datetime knows six digits of a fraction, the files have seven."""
    whole, _, rest = told.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(whole + rest[len(digits) :])
        fraction = int(f"{digits:0<7}") if len(digits) <= 7 else int(digits[:7])
    except ValueError:
        raise place.refuse("TIMESTAMP: as 2023-11-16 18:15:46.6805900", told) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * TICKS + fraction

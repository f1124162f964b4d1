"""Reads a workload file once: its entries in sending order, and the hash of its content."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from instruments.errors import ConfigurationError
from instruments.workloads.entries import Entry, Place
from instruments.workloads.texts import read_jsonl, read_sharegpt
from instruments.workloads.traces import read_azure, read_mooncake

Format = Literal["jsonl", "sharegpt", "mooncake", "azure"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a workload wants from a file: its format, and what every line of it must say."""

    format: Format
    block_tokens: int  # of a Mooncake trace's hash ids
    api: Literal["chat", "text"]  # "text" cannot send messages
    output_tokens: bool  # whether each line must give them

    def check(self, place: Place, entry: Entry) -> None:
        """ConfigurationError where an entry does not say what it must."""
        if self.output_tokens and any(turn.output_tokens is None for turn in entry.turns):
            raise place.refuse("'output_tokens' on the line or in the workload", "neither")
        if self.format == "jsonl" and self.api == "text" and not isinstance(entry.turns[0].prompt, str):
            raise place.refuse("'prompt', since the workload's api is not chat", "'messages'")


def entries_of(path: Path, needs: Needs, first: int | None = None) -> tuple[Entry, ...]:
    """All entries of a file, or the `first` so many: the earliest first where it has times. Every line is
    checked, also where few are asked for: the earliest may be the file's last.

    A trace's times are seconds after its first request, a JSONL file's are its own. ConfigurationError for
    the first bad line, for a file without requests, and for one that cannot be read.
    """
    return _read(path, needs, first, *_state(path))


def content_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes. ConfigurationError where it cannot be read."""
    return _hashed(path, *_state(path))


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file does, so that a run reads it once and a changed file is read again."""
    try:
        state = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return state.st_mtime_ns, state.st_size


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"cannot read {path}", expected="a readable file", seen=error.strerror)


@lru_cache(maxsize=2)
def _read(path: Path, needs: Needs, first: int | None, *_: int) -> tuple[Entry, ...]:
    checked = _checked(path, needs)
    # What is not asked for is not kept: a trace can have millions of lines.
    found = sorted(checked, key=_due_s) if first is None else heapq.nsmallest(first, checked, key=_due_s)
    if not found:
        raise ConfigurationError(
            f"{path} holds no request", expected=f"at least one, written as {needs.format}"
        )
    if needs.format in ("azure", "mooncake"):
        start_s = _due_s(found[0])
        found = [replace(entry, at_s=_due_s(entry) - start_s) for entry in found]
    return tuple(found)


def _due_s(entry: Entry) -> float:
    return entry.at_s or 0.0


def _checked(path: Path, needs: Needs) -> Iterator[Entry]:
    for entry in _entries(path, needs):
        needs.check(Place(path, entry.line), entry)
        yield entry


def _entries(path: Path, needs: Needs) -> Iterator[Entry]:
    if needs.format == "jsonl":
        return read_jsonl(path)
    if needs.format == "sharegpt":
        return read_sharegpt(path)
    return read_azure(path) if needs.format == "azure" else read_mooncake(path, needs.block_tokens)


@lru_cache(maxsize=8)
def _hashed(path: Path, *_: int) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None

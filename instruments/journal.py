"""The journal: one file of JSON lines a run, written while it goes, readable however it ended.

Line 1 is `{"kind": "run", "schema": 1, ...}`: the run's name, description and clock anchor.
Each further line is `{"kind": "request", ...}`, a RequestRecord field by field (instants in integer
nanoseconds of the monotonic clock of line 1, token counts from `usage`, absent when unknown).
The last line of a run that came to its end is `{"kind": "end", ...}`: window, client check, why it
stopped. A journal without it was cut off; its records stand. A torn last line is left out and said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from instruments.clock import ClockAnchor
from instruments.errors import JournalError
from instruments.records import ClientCheck, LoadRun, Outcome, Phase, RequestRecord, Window

SCHEMA = 1


class Journal:
    """Writes one run. Each line reaches the operating system before the next request is recorded."""

    def __init__(self, path: Path, name: str, description: Mapping[str, Any], anchor: ClockAnchor) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a killed client loses no record that it had finished.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise _cannot_write(path, error) from error
        head = {"kind": "run", "schema": SCHEMA, "name": name, "anchor": asdict(anchor)}
        try:
            self._write({**head, "description": dict(description)})
        except JournalError:
            self.close()
            raise

    def append(self, record: RequestRecord) -> None:
        """Write one record; JournalError when the disk refuses it."""
        self._write({"kind": "request", **_plain(record)})

    def end(self, window: Window | None, client: ClientCheck | None, stopped_because: str | None) -> None:
        """Write the closing line of a run that came to its end, early or not."""
        self._write(
            {
                "kind": "end",
                "window": asdict(window) if window else None,
                "client": asdict(client) if client else None,
                "stopped_because": stopped_because,
            }
        )

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        # Half of a surrogate pair has no bytes in UTF-8; \udXXX is how JSON spells it.
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            written = self._file.write(data)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        if written != len(data):
            raise _cannot_write(self.path, OSError("the disk took only a part of a line"))


def load_run(path: Path) -> LoadRun:
    """Read one journal, whole or cut off; JournalError when not even its first line can be read."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}", seen=os.strerror(error.errno or 0)) from error
    problems: list[str] = []
    parsed: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        document = _document(line)
        if document is not None:
            parsed.append(document)
        else:
            problems.append(f"line {number} is torn or not JSON and was left out")
    head = parsed[0] if parsed else {}
    if head.get("kind") != "run" or head.get("schema") != SCHEMA:
        raise JournalError(
            f"{path} is not a journal that can be read",
            expected=f'a first line with "kind": "run", "schema": {SCHEMA}',
            seen=str({key: head.get(key) for key in ("kind", "schema")} if head else "no readable line"),
        )
    try:
        return _assembled(head, parsed[1:], problems)
    except (LookupError, TypeError, ValueError) as error:
        raise JournalError(
            f"{path} has a line that is not as schema {SCHEMA} has it",
            seen=f"{type(error).__name__}: {error}",
        ) from error


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _assembled(head: Mapping[str, Any], lines: list[dict[str, Any]], problems: list[str]) -> LoadRun:
    records = [_record(line) for line in lines if line.get("kind") == "request"]
    end = next((line for line in lines if line.get("kind") == "end"), None)
    if end is None:
        problems.append("the run was cut off: the journal has no closing line")
    return LoadRun(
        name=head["name"],
        description=head["description"],
        anchor=ClockAnchor(**head["anchor"]),
        records=tuple(sorted(records, key=lambda record: record.index)),
        window=Window(**end["window"]) if end and end["window"] else None,
        client=ClientCheck(**end["client"]) if end and end["client"] else None,
        complete=end is not None and end["stopped_because"] is None,
        stopped_because=end["stopped_because"] if end else "cut off",
        problems=tuple(problems),
    )


def _plain(record: RequestRecord) -> dict[str, Any]:
    """The record's fields, without those that are unknown. (asdict would copy every tuple.)"""
    plain = {name: getattr(record, name) for name in _FIELDS}
    return {name: value for name, value in plain.items() if value is not None}


def _record(line: Mapping[str, Any]) -> RequestRecord:
    values = {name: line[name] for name in _FIELDS if name in line}
    values["outcome"] = Outcome(values["outcome"])
    values["phase"] = Phase(values["phase"])
    values["chunks_ns"] = tuple(values.get("chunks_ns", ()))
    if "chunk_tokens" in values:
        values["chunk_tokens"] = tuple(values["chunk_tokens"])
    return RequestRecord(**values)


def _cannot_write(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"cannot write the journal {path}",
        expected="room on the disk and the right to write there",
        seen=error.strerror or str(error),
        hint="free some space, or choose another folder with --results; "
        "what was written before this stays readable",
    )


_FIELDS = tuple(field.name for field in fields(RequestRecord))

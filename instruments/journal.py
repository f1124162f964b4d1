"""The journal: one file of JSON lines for each process of a run, written while it goes, readable however
it ended. JOURNAL.md beside this file tells every field with its unit.

Line 1 is `{"kind": "run", "schema": 1, ...}`: the run's name, description and clock anchor.
Each further line is `{"kind": "request", ...}`, a RequestRecord field by field (instants in integer
nanoseconds of the monotonic clock of line 1, token counts from `usage`, absent when unknown).
The last line of a run that came to its end is `{"kind": "end", ...}`: window, client check, why it
stopped, or that all was decided. One that came from another machine has a line more,
`{"kind": "arrived", ...}`, that seals all before it. What is torn or missing is said, and the rest stands.

A run of one process writes `<name>.jsonl`, one of four `<name>.1of4.jsonl` to `<name>.4of4.jsonl`.
"""

from __future__ import annotations

import gc
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from instruments.clock import ClockAnchor
from instruments.errors import JournalError
from instruments.merging import ahead_before_ns, merged, on_the_runs_clock, sealed
from instruments.records import (
    ClientCheck,
    LoadRun,
    Outcome,
    Phase,
    RequestRecord,
    Window,
    moved,
    record_of,
    told_of,
)

SCHEMA = 1
_BLOCK = 1 << 20  # bytes that are read at once
_Counts = dict[tuple[int, ...], tuple[int, ...]]
_PART = re.compile(r"(?P<stem>.+)\.(?P<number>[0-9]+)of(?P<of>[0-9]+)\.jsonl")


class Journal:
    """Writes one run. Each line reaches the operating system before the next request is recorded."""

    def __init__(self, path: Path, name: str, description: Mapping[str, Any], anchor: ClockAnchor) -> None:
        self.path = path
        self._requests = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a killed client loses no record that it had finished.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error
        head = {"kind": "run", "schema": SCHEMA, "name": name, "anchor": asdict(anchor)}
        try:
            self._write({**head, "description": dict(description)})
        except JournalError:
            self.close()
            raise

    def append(self, record: RequestRecord) -> None:
        """Write one record; JournalError when the disk refuses it."""
        self._write({"kind": "request", **told_of(record)})
        self._requests += 1

    def end(
        self,
        window: Window | None,
        client: ClientCheck | None,
        stopped_because: str | None,
        decided_at: int | None = None,
    ) -> None:
        """Write the closing line. `decided_at`: of the plan so many were looked at, more is not wanted."""
        self._write(
            {
                "kind": "end",
                "window": asdict(window) if window else None,
                "client": asdict(client) if client else None,
                "stopped_because": stopped_because,
                "decided_at": decided_at,
                "requests": self._requests,
            }
        )

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        data = _line(line)
        try:
            written = self._file.write(data)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if written != len(data):
            raise cannot_write(self.path, OSError("the disk took only a part of a line"))


class JournalTail:
    """Reads a journal while it is written: each look gives the requests that ended since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = self._ahead_ns = 0

    def fresh(self) -> list[RequestRecord]:
        """The new records, on the run's clock; none before there is a file. Half a line is read next time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        if whole and not self._read:
            self._ahead_ns = ahead_before_ns(_document(data.partition(b"\n")[0]) or {})
        self._read += whole
        lines, counts = (_document(line) for line in data[:whole].split(b"\n") if line), _Counts()
        asked = (line for line in lines if line is not None and line.get("kind") == "request")
        return [moved(_record(line, counts), -self._ahead_ns) for line in asked]


def with_ending(description: Mapping[str, Any], decided_at: int | None) -> Mapping[str, Any]:
    """What is said of a run, with how its sampling ended, which nobody knew when it was written."""
    sampling = description.get("sampling")
    if sampling is None and decided_at is None:
        return description
    ending = {"decided": decided_at is not None, "decided_at": decided_at}
    return {**description, "sampling": {**(sampling or {}), **ending}}


def parts(path: Path, processes: int) -> list[Path]:
    """The files that so many processes write for the run of this name."""
    if processes == 1:
        return [path]
    return [path.with_name(f"{path.stem}.{n + 1}of{processes}.jsonl") for n in range(processes)]


def whole_run(path: Path) -> Path:
    """The name of the run that a journal's file belongs to: the file itself, or that of all its parts."""
    part = _PART.fullmatch(path.name)
    return path.with_name(f"{part['stem']}.jsonl") if part else path


def load_run(path: Path) -> LoadRun:
    """Read one run, whole or cut off; JournalError when not even a first line can be read.

    `path` is the run's name, `<name>.jsonl`, whether one process wrote it or several.
    """
    if path.exists():
        run = _load(path)
        return merged([run], [], 1) if "part" in run.description else run
    names = [(file, _PART.fullmatch(file.name)) for file in sorted(path.parent.glob("*.jsonl"))]
    ours = [(file, part) for file, part in names if part and part["stem"] == path.stem]
    found = {int(part["number"]): file for file, part in ours}
    if not found:
        return _load(path)  # which says that there is no such file
    # Each as soon as it is read: only one of them is in memory twice.
    runs = [on_the_runs_clock(_load(found[number])) for number in sorted(found)]
    ofs = sorted({int(one["of"]) for _, one in ours})
    if len(ofs) > 1:
        raise JournalError(
            f"{path} has parts of several runs",
            expected="parts of one run, that of one number of processes",
            seen=", ".join(f"{path.stem}.…of{of}.jsonl" for of in ofs),
            hint="remove those that are older",
        )
    (of,) = ofs
    return merged(runs, [n for n in range(1, of + 1) if n not in found], of)


def _load(path: Path) -> LoadRun:
    problems: list[str] = []
    documents = _documents(path, problems)
    with _without_collecting():
        head = next(documents, {})
        if head.get("kind") != "run" or head.get("schema") != SCHEMA:
            raise JournalError(
                f"{path} is not a journal that can be read",
                expected=f'a first line with "kind": "run", "schema": {SCHEMA}',
                seen=str({key: head.get(key) for key in ("kind", "schema")} if head else "no readable line"),
            )
        try:
            return sealed(path, _assembled(head, documents, problems))
        except (LookupError, TypeError, ValueError) as error:
            raise JournalError(
                f"{path} has a line that is not as schema {SCHEMA} has it",
                seen=f"{type(error).__name__}: {error}",
            ) from error


def _documents(path: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    """A journal's lines one by one, so that no more than one is in memory twice."""
    try:
        with path.open("rb", buffering=_BLOCK) as file:
            for number, line in enumerate(file, start=1):
                document = _document(line)
                if document is not None:
                    yield document
                elif line != b"\n":
                    problems.append(f"line {number} is torn or not JSON and was left out")
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}", seen=os.strerror(error.errno or 0)) from error


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Millions of numbers without a cycle among them: to look for cycles took longer than to read."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.freeze()  # all there is into the oldest generation, without being looked through
            gc.unfreeze()
            gc.enable()


def _line(document: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        # Half of a surrogate pair has no bytes in UTF-8; \udXXX is how JSON spells it.
        return text.encode("utf-8", "backslashreplace") + b"\n"


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(line)
    except ValueError:
        try:
            document = json.loads(line)  # which takes half of a surrogate pair too
        except (ValueError, RecursionError):
            return None
    return document if isinstance(document, dict) else None


def _assembled(head: Mapping[str, Any], documents: Iterable[dict[str, Any]], problems: list[str]) -> LoadRun:
    records: list[RequestRecord] = []
    end: Mapping[str, Any] | None = None
    counts: _Counts = {}
    description = dict(head["description"])
    for line in documents:
        if line.get("kind") == "request":
            records.append(_record(line, counts))
        elif line.get("kind") == "end" and end is None:
            end = line
        elif line.get("kind") == "arrived" and "part" in description:
            description["part"] = {**description["part"], "arrived": line}
    if end is None:
        problems.append("the run was cut off: the journal has no closing line")
    elif end.get("requests", len(records)) != len(records):  # a journal of before has no such count
        problems.append(f"its end line counts {end['requests']} requests, {len(records)} are there")
    return LoadRun(
        name=head["name"],
        description=with_ending(description, end.get("decided_at") if end else None),
        anchor=ClockAnchor(**head["anchor"]),
        records=tuple(sorted(records, key=lambda record: record.index)),
        window=Window(**end["window"]) if end and end["window"] else None,
        client=ClientCheck(**end["client"]) if end and end["client"] else None,
        complete=end is not None and end["stopped_because"] is None,
        stopped_because=end["stopped_because"] if end else "cut off",
        problems=tuple(problems),
    )


def _record(line: dict[str, Any], counts: _Counts) -> RequestRecord:
    """One line as a record. Equal `chunk_tokens` become one tuple: most answers have a token a chunk."""
    del line["kind"]
    line["outcome"], line["phase"] = Outcome(line["outcome"]), Phase(line["phase"])
    line["chunks_ns"] = tuple(line.get("chunks_ns", ()))
    if "chunk_tokens" in line:
        tokens = tuple(line["chunk_tokens"])
        line["chunk_tokens"] = counts.setdefault(tokens, tokens)
    return record_of(line)


def cannot_write(path: Path, error: OSError) -> JournalError:
    """The error of a disk that refuses."""
    return JournalError(
        f"cannot write the journal {path}",
        expected="room on the disk and the right to write there",
        seen=error.strerror or str(error),
        hint="free some space, or choose another folder with --results; "
        "what was written before this stays readable",
    )

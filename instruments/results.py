"""A run's folder: what is written while a session goes, and read by whoever judges or reports it later.

    results/<run>/
        run.json            SessionRecord: rewritten whole when the session begins and when it ends
        fingerprint.json    name -> value: all that could change a number
        loads/<name>.jsonl  one journal for each load (instruments.journal); of several processes, one each
        calibration/        the client's error on this machine, and the journals and logs that it comes from
        claims.jsonl        one ClaimRecord for each test that ended
        verdicts.jsonl      one Verdict for each objective judged, with the journal it rests on
        laws.jsonl          one LawVerdict for each conservation law, with the load it was checked on
        incidents.jsonl     parts of the stack that died, with their log tails
        verdict.json        the whole session in one document, for other machines
        logs/  allure/  report.html

Lines are appended and reach the operating system one by one: a killed session leaves all that it had.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from instruments.errors import JournalError
from instruments.journal import whole_run
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.verdict import State, Verdict

SCHEMA = 1
_TUPLES = ("command", "notes", "expected", "left_out")  # of a session; JSON has lists


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """How a session was started and how it ended. Times are ISO 8601 in UTC, labels only."""

    run_id: str
    started_at: str
    environment: str
    command: tuple[str, ...] = ()
    engine: str | None = None  # "vllm", "simulator", or None when not known
    simulated: bool = False
    gate: bool = False
    seed: int = 0
    telemetry: str | None = None  # where the server's numbers came from, in words
    notes: tuple[str, ...] = ()  # what a reader must know: no Prometheus, a simulated engine, …
    finished_at: str | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    startup_s: Mapping[str, float] = field(default_factory=dict)  # component -> seconds to ready
    expected: tuple[str, ...] = ()  # ids of the required objectives that a gate has to judge
    # Of the catalog: what is not judged at this place, {id, why}, and whose limit is this place's own,
    # id -> {catalog, here}. The budget of the laws on overhead, where it is this place's own.
    left_out: tuple[Mapping[str, str], ...] = ()
    limits_replaced: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    overhead_budget_s: float | None = None
    duration_scale: float = 1.0  # times what the catalog says was sent and waited for
    # How many lines each file got, "claims" -> 12: what is gone afterwards is known to be gone.
    written: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """One test that ended: a claim about the stack, and what became of it."""

    nodeid: str
    title: str  # first line of the test's docstring
    outcome: str  # passed | failed | error | skipped
    duration_s: float
    suite: str = ""
    reason: str = ""  # one line: why skipped, or the error's message
    detail: str = ""  # the failure as pytest shows it
    markers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentRecord:
    """A part of the stack that ended by itself."""

    at: str
    component: str
    what: str
    log_tail: str


class RunFolder:
    """Reads and writes the files of one run. Writing raises JournalError when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: Counter[str] = Counter()

    @property
    def written(self) -> dict[str, int]:
        """Lines that this object appended, by file: "claims", "verdicts", "laws", "incidents"."""
        return dict(self._written)

    @property
    def loads(self) -> Path:
        return self.path / "loads"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def journals(self) -> list[Path]:
        """Journals of this run, in the order of their names: one name for all processes of a load."""
        found = {whole_run(path) for path in self.loads.glob("*.jsonl")}
        return sorted(found)

    def write_session(self, session: SessionRecord) -> None:
        self.write_document("run.json", {"schema": SCHEMA, **asdict(session)})

    def read_session(self) -> SessionRecord:
        """The session; JournalError when the folder is not that of a run."""
        document = self.read_document("run.json")
        if document is None or document.get("schema") != SCHEMA:
            raise JournalError(
                f"{self.path} is not the folder of a run",
                expected=f"a run.json with schema {SCHEMA}",
                seen="none that can be read" if document is None else f"schema {document.get('schema')}",
                hint="name a folder below results/",
            )
        known = {name: document[name] for name in SessionRecord.__dataclass_fields__ if name in document}
        known |= {name: tuple(known[name]) for name in _TUPLES if name in known}
        return SessionRecord(**known)

    def append_claim(self, claim: ClaimRecord) -> None:
        self._append("claims.jsonl", asdict(claim))

    def claims(self) -> list[ClaimRecord]:
        return [
            ClaimRecord(**{**line, "markers": tuple(line["markers"])}) for line in self._lines("claims.jsonl")
        ]

    def append_verdict(self, verdict: Verdict, journal: Path, claim: str) -> None:
        """Keep a verdict, the journal that it rests on (relative to the folder), and the test that asked."""
        self._append(
            "verdicts.jsonl",
            {**asdict(verdict), "journal": str(journal.relative_to(self.path)), "claim": claim},
        )

    def verdicts(self) -> list[tuple[Verdict, str, str]]:
        """(verdict, journal, claim) of each objective judged, in that order."""
        read = []
        for line in self._lines("verdicts.jsonl"):
            journal, claim = line.pop("journal"), line.pop("claim")
            line["objective"] = ServiceLevelObjective.from_document(line["objective"])
            line["state"] = State(line["state"])
            read.append((Verdict(**line), journal, claim))
        return read

    def append_law(self, document: Mapping[str, Any]) -> None:
        """Keep what became of a conservation law: law, load, state, reason, expected, seen."""
        self._append("laws.jsonl", document)

    def laws(self) -> list[dict[str, Any]]:
        return list(self._lines("laws.jsonl"))

    def append_incident(self, incident: IncidentRecord) -> None:
        self._append("incidents.jsonl", asdict(incident))

    def incidents(self) -> list[IncidentRecord]:
        return [IncidentRecord(**line) for line in self._lines("incidents.jsonl")]

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON document whole: a reader sees the old one or the new one, never a part."""
        path = self.path / name
        draft = path.with_name(path.name + ".new")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
            draft.write_text(text, encoding="utf-8", errors="backslashreplace")
            draft.replace(path)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def read_document(self, name: str) -> dict[str, Any] | None:
        """A JSON document, or None when it is not there or cannot be read."""
        try:
            document = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        # Half of a surrogate pair has no bytes in UTF-8; \udXXX is how JSON spells it.
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        path = self.path / name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                written = os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _cannot_write(path, error) from error
        if written != len(data):
            raise _cannot_write(path, OSError("the disk took only a part of a line"))
        self._written[path.stem] += 1

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The lines that can be read; a torn one is what a killed session leaves, and is left out."""
        try:
            data = (self.path / name).read_bytes()
        except OSError:
            return
        for line in data.split(b"\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _cannot_write(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"cannot write {path}",
        expected="room on the disk and the right to write there",
        seen=error.strerror or str(error),
        hint="free some space, or choose another folder with --results",
    )

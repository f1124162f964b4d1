"""The report's model: everything a run left in its folder, judged again, as one immutable value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from instruments.errors import JournalError
from instruments.results import ClaimRecord, IncidentRecord, RunFolder, SessionRecord
from instruments.slo import ServiceLevelObjective, State, Verdict
from reports.calibrated import on_fresh_calibration
from reports.judged import Judged, judge_stored, judge_with
from reports.laws import Law, judge_laws, law_problems
from reports.loads import MALFORMED, Load, read_loads
from reports.overall import Evidence, Overall, decide, explained_claims, undecided_claims
from reports.searches import Search, read_searches
from reports.trials import Trial, read_trials

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class SessionReport:
    """A run as a reader sees it. `problems` are reasons to doubt it, in words."""

    folder: Path
    session: SessionRecord
    fingerprint: Mapping[str, Any]
    claims: tuple[ClaimRecord, ...]
    verdicts: tuple[Judged, ...]
    incidents: tuple[IncidentRecord, ...]
    loads: tuple[Load, ...]
    problems: tuple[str, ...]
    state: Overall
    reason: str
    objectives_from: str | None = None  # the file of other objectives, when judged with one
    laws: tuple[Law, ...] = ()
    missing: tuple[str, ...] = ()  # objectives that the gate had to judge, and has no verdict of
    undecided: frozenset[str] = frozenset()  # claims that failed because the data cannot tell
    searches: tuple[Search, ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether the session or any of its loads says so."""
        return self.session.simulated or any(load.simulated for load in self.loads)

    @property
    def notes(self) -> tuple[str, ...]:
        return self.session.notes

    @property
    def exit_code(self) -> int:
        return int(self.state.exit_code)

    @property
    def claim_counts(self) -> Mapping[str, int]:
        """Claims by outcome."""
        return Counter(claim.outcome for claim in self.claims)

    @property
    def told_counts(self) -> Mapping[str, int]:
        """Claims by what is told of them."""
        return Counter(map(self.told, self.claims))

    def told(self, claim: ClaimRecord) -> str:
        """A claim's outcome for a reader: `undecided` is what only the test has to call failed."""
        undecided = claim.outcome == "failed" and claim.nodeid in self.undecided
        return "undecided" if undecided else claim.outcome

    def skip_reasons(self) -> dict[str, list[ClaimRecord]]:
        """Skipped claims by their reason, the most frequent first."""
        by_reason: dict[str, list[ClaimRecord]] = {}
        for claim in self.claims:
            if claim.outcome == "skipped":
                by_reason.setdefault(claim.reason or "no reason was given", []).append(claim)
        return dict(sorted(by_reason.items(), key=lambda item: -len(item[1])))


def read_report(
    folder: Path,
    objectives: Mapping[str, ServiceLevelObjective] | None = None,
    *,
    objectives_from: str | None = None,
) -> SessionReport:
    """Read a run's folder and judge it again, with other objectives if given.

    Whatever of it cannot be read becomes a problem; JournalError only when it is not a run's folder.
    """
    files = RunFolder(folder)
    session = _session(files)
    loads, problems = read_loads(files)
    lost: list[str] = []
    claims = _read(files, "claims.jsonl", files.claims, session, lost)
    incidents = _read(files, "incidents.jsonl", files.incidents, session, lost)
    stored = _read(files, "verdicts.jsonl", files.verdicts, session, lost)
    laws = _read(files, "laws.jsonl", lambda: judge_laws(files.laws(), loads, claims), session, lost)
    fingerprint = files.read_document("fingerprint.json") or {}
    judged = judge_stored(stored, loads) if objectives is None else judge_with(objectives.values(), loads)
    judged = on_fresh_calibration(judged, loads, session, fingerprint)
    unmet = _unmet(stored, laws)
    evidence = Evidence(
        session=session,
        claims=claims,
        judged=judged,
        lost=lost,
        explained=explained_claims(unmet),
        other_objectives=objectives is not None,
        laws=laws,
        simulated=any(load.simulated for load in loads),
    )
    problems += [one.problem for one in judged if one.problem]
    problems += law_problems(laws) + lost
    report = _decided(files, evidence, problems, fingerprint, objectives_from)
    told = undecided_claims(unmet) | report.undecided
    return replace(report, incidents=tuple(incidents), loads=tuple(loads), undecided=told)


def _decided(
    files: RunFolder,
    evidence: Evidence,
    problems: list[str],
    fingerprint: Mapping[str, Any],
    objectives_from: str | None,
) -> SessionReport:
    """What the evidence comes to, with what else the folder holds; incidents and loads are the caller's."""
    session, (state, reason) = evidence.session, decide(evidence)
    searches, unread = read_searches(files)
    trials, unread_trials = read_trials(files)
    disagreement = _disagreement(session, state, other=evidence.other_objectives)
    return SessionReport(
        folder=files.path,
        session=session,
        fingerprint=fingerprint,
        claims=tuple(evidence.claims),
        verdicts=tuple(evidence.judged),
        incidents=(),
        loads=(),
        problems=(*problems, *unread, *unread_trials, *disagreement),
        state=state,
        reason=reason,
        objectives_from=objectives_from,
        laws=tuple(evidence.laws),
        missing=tuple(evidence.missing()),
        undecided=frozenset(claim.nodeid for claim in evidence.undecided_claims()),
        searches=tuple(searches),
        trials=tuple(trials),
    )


def _unmet(stored: Iterable[tuple[Verdict, str, str]], laws: Iterable[Law]) -> list[tuple[str, bool, State]]:
    """(claim, required, state) of what a claim may have failed for: told once, as the verdict or the law."""
    of_objectives = [(claim, verdict.objective.required, verdict.state) for verdict, _, claim in stored]
    of_laws = [(law.claim, law.required, law.state) for law in laws if law.claim]
    return [*of_objectives, *of_laws]


def _session(files: RunFolder) -> SessionRecord:
    try:
        return files.read_session()
    except MALFORMED as error:
        raise JournalError(
            f"{files.path / 'run.json'} has another shape than a session's",
            expected="run_id, started_at, environment",
            seen=str(error),
        ) from error


def _read(
    files: RunFolder, name: str, read: Callable[[], Iterable[Line]], session: SessionRecord, lost: list[str]
) -> list[Line]:
    """The lines of a file. One left out or gone is said: a lost VIOLATED must not read as a pass."""
    try:
        lines = list(read())
    except MALFORMED as error:
        lost.append(f"{name} cannot be read: a line has another shape ({type(error).__name__}: {error})")
        return []
    try:
        data = (files.path / name).read_bytes()
    except OSError:
        data = b""
    torn = sum(bool(line) for line in data.split(b"\n")) - len(lines)
    if torn:
        lost.append(f"{name}: {torn} torn or not JSON of {torn + len(lines)} lines, left out")
    written = session.written.get(name.removesuffix(".jsonl"), 0)
    if written > torn + len(lines):
        lost.append(f"{name}: {written - torn - len(lines)} of {written} lines that were written are gone")
    return lines


def _disagreement(session: SessionRecord, state: Overall, *, other: bool) -> list[str]:
    """The session's own exit code where it is not the one that its files give."""
    if other or session.exit_code is None or session.exit_code == state.exit_code:
        return []
    own = f"the session itself ended with exit code {session.exit_code}"
    return [f"{own}; judged from its files it is {int(state.exit_code)} ({state})"]

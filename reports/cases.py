"""Claims as the test cases of other formats: what a CI system counts. Never green where the verdict is not.

A CI system knows tests and nothing of objectives. So each claim is one case, worse than it ended where its
objective or law is worse today; and a run that is neither MET nor CLAIMS HOLD, though no claim of it is red,
gets one case more, which says why: it is named `verdict`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from instruments.results import ClaimRecord
from instruments.slo import State
from reports import laws, wording
from reports.judged import Judged
from reports.laws import Law
from reports.model import SessionReport
from reports.overall import Overall

VERDICT = "verdict"
GREEN = frozenset({Overall.MET, Overall.CLAIMS_HOLD})
_LONGEST_MESSAGE = 1000


class CaseOutcome(StrEnum):
    """How a case ended. `failed` to `inconclusive` are failures, each of its own type."""

    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"

    @property
    def broken(self) -> bool:
        """Whether a CI system must show it as red."""
        return self not in (CaseOutcome.PASSED, CaseOutcome.SKIPPED)


@dataclass(frozen=True, slots=True)
class Case:
    """One test case. `file` and `name` are the two halves of pytest's id; `told` is evidence, a line each."""

    file: str
    name: str
    title: str
    outcome: CaseOutcome
    duration_s: float = 0.0
    message: str = ""
    detail: str = ""
    told: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()
    markers: tuple[str, ...] = ()

    @property
    def nodeid(self) -> str:
        return f"{self.file}::{self.name}" if self.file else self.name


def cases(report: SessionReport) -> list[Case]:
    """A case for each claim, in their order, and one for the verdict where nothing else is red for it."""
    judged: dict[str, list[Judged]] = {}
    for one in report.verdicts:
        judged.setdefault(one.claim or "", []).append(one)
    checked: dict[str, list[Law]] = {}
    for law in report.laws:
        checked.setdefault(law.claim or "", []).append(law)
    found = [
        _case(report, one, judged.get(one.nodeid, []), checked.get(one.nodeid, [])) for one in report.claims
    ]
    if report.state not in GREEN and not any(case.outcome.broken for case in found):
        found.append(_verdict(report))
    return found


def _case(report: SessionReport, claim: ClaimRecord, judged: list[Judged], checked: list[Law]) -> Case:
    file, _, name = claim.nodeid.partition("::")
    outcome = _outcome(report, claim, judged, checked)
    message = claim.reason
    if claim.outcome == "passed" and outcome.broken:  # the test passed, and its records say otherwise today
        message = _broken_reason(judged, checked)
    elif outcome.broken and not message:
        message = claim.title or claim.nodeid
    return Case(
        file=file if name else "",
        name=name or file,
        title=claim.title,
        outcome=outcome,
        duration_s=claim.duration_s,
        message=wording.one_line(message, _LONGEST_MESSAGE),
        detail=claim.detail,
        told=tuple(_told(report, judged, checked)),
        judged=tuple(judged),
        markers=claim.markers,
    )


def _outcome(
    report: SessionReport, claim: ClaimRecord, judged: list[Judged], checked: list[Law]
) -> CaseOutcome:
    if claim.outcome in ("error", "skipped"):
        return CaseOutcome(claim.outcome)
    states = {one.state for one in judged if one.objective.required}
    states |= {law.state for law in checked if law.required}
    if claim.outcome == "passed":
        if State.VIOLATED in states:
            return CaseOutcome.VIOLATED
        return CaseOutcome.INCONCLUSIVE if State.INCONCLUSIVE in states else CaseOutcome.PASSED
    if State.VIOLATED in states or claim.reason.startswith(State.VIOLATED):
        return CaseOutcome.VIOLATED
    if claim.nodeid in report.undecided or claim.reason.startswith(State.INCONCLUSIVE):
        return CaseOutcome.INCONCLUSIVE
    return CaseOutcome.FAILED


def _broken_reason(judged: Iterable[Judged], checked: Iterable[Law]) -> str:
    unmet = [one for one in judged if one.objective.required and one.state is not State.MET]
    unmet.sort(key=lambda one: one.state is not State.VIOLATED)
    if unmet:
        return f"{unmet[0].state}: {wording.sentence(unmet[0])}"
    broken = next(law for law in checked if law.required and law.state is not State.MET)
    return f"{broken.state}: {laws.sentence(broken)}"


def _told(report: SessionReport, judged: Iterable[Judged], checked: Iterable[Law]) -> Iterator[str]:
    simulated = ", simulated" if report.simulated else ""
    for one in judged:
        yield f"{one.state}{simulated}: {wording.sentence(one)}"
        if one.journal:
            yield f"  records: {one.journal}"
        if one.problem:
            yield f"  doubt: {one.problem}"
    for law in checked:
        yield f"{law.state}{simulated}: law {laws.sentence(law)}"


def _verdict(report: SessionReport) -> Case:
    """The run as a case of its own: what is wrong with it is no single claim's fault."""
    known = {Overall.VIOLATED: CaseOutcome.VIOLATED, Overall.INCONCLUSIVE: CaseOutcome.INCONCLUSIVE}
    return Case(
        file="",
        name=VERDICT,
        title="The run as a whole",
        outcome=known.get(report.state, CaseOutcome.FAILED),
        message=wording.one_line(f"{report.state}: {report.reason}", _LONGEST_MESSAGE),
        detail="\n".join(_why(report)),
    )


def _why(report: SessionReport) -> Iterator[str]:
    yield f"{report.state}, exit code {report.exit_code}: {report.reason}"
    for one in report.verdicts:
        if one.state is not State.MET:
            yield f"{one.state}: {wording.sentence(one)}"
    for name in report.missing:
        yield f"required by the gate, and not judged: {name}"
    for group in laws.unkept(report.laws):
        yield f"law {group[0].state}: {laws.told(group)}"
    for incident in report.incidents:
        yield f"died: {incident.component}: {wording.one_line(incident.what, 200)}"
    for problem in report.problems:
        yield f"doubt: {problem}"

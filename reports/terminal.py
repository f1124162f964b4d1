"""Lines for a terminal: one for each objective, evidence for what is not as it must be, 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from instruments.results import ClaimRecord
from instruments.slo import State
from reports import laws, of_place, wording
from reports.judged import Judged
from reports.model import SessionReport
from reports.overall import Evidence, Overall

WIDTH = 100
_MOST_CLAIMS = 10
_TOLD = ("passed", "failed", "undecided", "error", "skipped")
_MARKS = {State.MET: "✓", State.VIOLATED: "✗", State.INCONCLUSIVE: "?"}
_SGR = {
    Overall.MET: "1;32",
    Overall.CLAIMS_HOLD: "1;32",
    Overall.VIOLATED: "1;31",
    Overall.FAILED: "1;35",
    Overall.INCONCLUSIVE: "1;33",
    Overall.INTERRUPTED: "1;34",
    Overall.NOTHING_MEASURED: "1;37",
}


def lines(report: SessionReport, colour: bool = False, *, page: Path | None = None) -> list[str]:
    """What a terminal shows of a run, ending in the page's path (default: report.html in its folder).

    Escape sequences only when `colour` is true; no line is longer than WIDTH, but for the path.
    """
    return [
        *_head(report, colour),
        *_objectives(report, colour),
        *_of_place(report),
        *_evidence(report),
        *_counts(report),
        f"  {page or report.folder / 'report.html'}",
    ]


def _head(report: SessionReport, colour: bool) -> Iterator[str]:
    state = _painted(f"{report.state}{_simulated(report)}", report.state, colour)
    yield f"{state}  run {wording.one_line(report.session.run_id, 40)}, exit code {report.exit_code}"
    yield from _wrapped(report.reason, "  ")


def _objectives(report: SessionReport, colour: bool) -> Iterator[str]:
    if not report.verdicts:
        return
    yield ""
    marks = [f"{_MARKS[one.state]} {one.state}{_simulated(report)}" for one in report.verdicts]
    names = [wording.one_line(one.objective.id, 28) for one in report.verdicts]
    values = [f"{wording.measured(one.verdict)} {wording.limit(one.objective)}" for one in report.verdicts]
    counts = [f"{wording.bad_of(one.verdict)}  {wording.headroom(one.verdict)}" for one in report.verdicts]
    widths = [max(map(len, column)) for column in (marks, names, values, counts)]
    fits = sum(widths) + 2 * len(widths) <= WIDTH
    for one, mark, name, value, count in zip(report.verdicts, marks, names, values, counts, strict=True):
        state = _painted(f"{mark:<{widths[0]}}", Overall(one.state), colour)
        if fits:
            yield f"  {state}  {name:<{widths[1]}}  {value:<{widths[2]}}  {count}"
        else:
            yield f"  {state}  {name}"
            yield f"{'':{widths[0] + 4}}{value:<{widths[2]}}  {count}"
    yield from _sampling(report)


def _sampling(report: SessionReport) -> Iterator[str]:
    """How many requests the verdicts rest on, and how often any of them may be wrong."""
    for load in report.loads:
        if said := wording.sampled(load.sampling, load.summary.due):
            yield from _wrapped(f"{load.summary.name}: {said}", "  ")
    for said in wording.shared_alarms(one.verdict for one in report.verdicts):
        yield from _wrapped(said, "  ")


def _of_place(report: SessionReport) -> Iterator[str]:
    for said in of_place.changes(report):
        yield from _wrapped(said, "  ")


def _evidence(report: SessionReport) -> Iterator[str]:
    """Why each objective that is not met is not, what else failed, died, or cannot be trusted."""
    unmet = [one for one in report.verdicts if one.state is not State.MET]
    for one in unmet:
        advisory = "" if one.objective.required else " (advisory)"
        yield from _item(f"{one.objective.id}{advisory}: {one.reason}{_more(one)}")
        if one.journal:
            yield f"      {one.journal}"
    if report.missing:
        yield from _item(f"required by the gate, and not judged: {', '.join(report.missing)}")
    broken = [law for law in report.laws if law.state is not State.MET]
    for group in laws.unkept(report.laws):
        yield from _item(f"law {group[0].state}: {laws.told(group)}")
    explained = {one.claim for one in unmet if one.claim} | {law.claim for law in broken if law.claim}
    claims = Evidence(report.session, report.claims, (), explained=frozenset(explained)).broken_claims()
    for claim in claims[:_MOST_CLAIMS]:
        yield from _item(f"{claim.outcome}: {claim.nodeid}: {_reason(claim)}")
    if len(claims) > _MOST_CLAIMS:
        yield from _item(f"and {wording.many(len(claims) - _MOST_CLAIMS, 'more claim')}")
    for incident in report.incidents:
        yield from _item(f"died: {incident.component}: {wording.one_line(incident.what, 200)}")
    for problem in report.problems:
        yield from _item(f"doubt: {problem}")


def _counts(report: SessionReport) -> Iterator[str]:
    counts = report.told_counts
    said = ", ".join(f"{counts[name]} {name}" for name in _TOLD if counts[name])
    kept = sum(law.state is State.MET for law in report.laws)
    checked = f"; {kept} of {wording.many(len(report.laws), 'conservation law')} kept" if report.laws else ""
    yield ""
    yield f"  {wording.many(len(report.claims), 'claim')}" + (f": {said}" if said else "") + checked


def _simulated(report: SessionReport) -> str:
    return ", simulated" if report.simulated else ""


def _more(one: Judged) -> str:
    more = one.verdict.requests_more
    return f"; {wording.many(more, 'more request')} would decide it" if more else ""


def _reason(claim: ClaimRecord) -> str:
    return wording.one_line(claim.reason or claim.title, 200)


def _item(text: str) -> Iterator[str]:
    first, *rest = _wrapped(text, "      ")
    yield "    - " + first[6:]
    yield from rest


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        _printable(" ".join(text.split())), WIDTH, initial_indent=indent, subsequent_indent=indent
    ) or [indent]


def _printable(text: str) -> str:
    """Without control characters: a server's error must not steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _painted(text: str, state: Overall, colour: bool) -> str:
    return f"\x1b[{_SGR[state]}m{text}\x1b[0m" if colour else text

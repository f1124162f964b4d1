"""Lines for a terminal: one for each objective, evidence for what is not as it must be, as wide as it is."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from instruments.results import ClaimRecord
from instruments.slo import State
from reports import laws, of_place, wording
from reports.judged import Judged
from reports.model import SessionReport
from reports.overall import Evidence, Overall

WIDTH = 100  # where nobody says otherwise
NARROWEST, WIDEST = 60, 140
MOST_MET = 25  # met objectives with a line of their own; those with the least headroom have it
_MOST_UNMET = 40  # unmet ones whose evidence is told
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


def fitting() -> int:
    """How wide the terminal is (or COLUMNS says), within what can be read well."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDTH, 24)).columns))


def lines(
    report: SessionReport, colour: bool = False, *, page: Path | None = None, width: int = WIDTH
) -> list[str]:
    """What a terminal shows of a run, ending in the page's path (default: report.html in its folder).

    Escape sequences only when `colour` is true; no line is longer than `width`, but for the path.
    """
    said = _Lines(report, colour, max(NARROWEST, width))
    return [*said.all(), f"  {page or report.folder / 'report.html'}"]


@dataclass(frozen=True, slots=True)
class _Row:
    """One objective's line, in its columns."""

    state: State
    mark: str
    name: str
    value: str
    count: str


@dataclass(frozen=True, slots=True)
class _Lines:
    """A report, to be said in lines of a width."""

    report: SessionReport
    colour: bool
    width: int

    def all(self) -> Iterator[str]:
        yield from self._head()
        yield from self._objectives()
        for said in of_place.changes(self.report, briefly=True):
            yield from self._wrapped(said, "  ")
        yield from self._evidence()
        yield from self._counts()

    def _head(self) -> Iterator[str]:
        report = self.report
        state = f"{report.state}{_simulated(report)}"
        end = f", exit code {report.exit_code}"
        left = self.width - len(state) - len("  run ") - len(end)
        run_id = wording.one_line(_printable(report.session.run_id), min(40, left))
        yield f"{_painted(state, report.state, self.colour)}  run {run_id}{end}"
        yield from self._wrapped(report.reason, "  ")

    def _objectives(self) -> Iterator[str]:
        if not self.report.verdicts:
            return
        yield ""
        shown, folded = _folded(self.report.verdicts)
        rows = [self._row(one) for one in shown]
        columns = [
            max(len(cell) for cell in column)
            for column in zip(*((row.mark, row.name, row.value, row.count) for row in rows), strict=True)
        ]
        for row in rows:
            yield from self._laid(row, columns)
        if folded:
            yield f"  ✓ {len(folded)} more met{_least(folded[0])}"
        yield from self._sampling()

    def _row(self, one: Judged) -> _Row:
        return _Row(
            one.state,
            f"{_MARKS[one.state]} {one.state}{_simulated(self.report)}",
            wording.one_line(_printable(one.objective.id), 28) + _advisory(one),
            f"{wording.measured(one.verdict)} {wording.limit(one.objective)}",
            f"{wording.bad_of(one.verdict)}  {wording.headroom(one.verdict)}",
        )

    def _laid(self, row: _Row, columns: Sequence[int]) -> Iterator[str]:
        """In one line where all columns fit, else in two, else as they come."""
        mark, name, value, _ = columns
        state = _painted(f"{row.mark:<{mark}}", Overall(row.state), self.colour)
        if sum(columns) + 2 * len(columns) <= self.width:
            yield f"  {state}  {row.name:<{name}}  {row.value:<{value}}  {row.count}"
            return
        yield f"  {state}  {row.name}"
        indent = " " * (mark + 4)
        if len(indent) + value + 2 + columns[3] <= self.width:
            yield f"{indent}{row.value:<{value}}  {row.count}"
        else:
            yield from self._wrapped(f"{row.value}; {row.count}", "      ")

    def _sampling(self) -> Iterator[str]:
        """How many requests the verdicts rest on, and how often any of them may be wrong."""
        for load in self.report.loads:
            if said := wording.sampled(load.sampling, load.summary.due):
                yield from self._wrapped(f"{load.summary.name}: {said}", "  ")
        for said in wording.shared_alarms(one.verdict for one in self.report.verdicts):
            yield from self._wrapped(said, "  ")

    def _evidence(self) -> Iterator[str]:
        """Why each objective that is not met is not, what else failed, died, or cannot be trusted."""
        report = self.report
        yield from self._unmet()
        if report.missing:
            yield from self._item(f"required by the gate, and not judged: {', '.join(report.missing)}")
        for group in laws.unkept(report.laws):
            yield from self._item(f"law {group[0].state}: {laws.told(group)}")
        yield from self._broken_claims()
        for incident in report.incidents:
            yield from self._item(f"died: {incident.component}: {wording.one_line(incident.what, 200)}")
        for problem in report.problems:
            yield from self._item(f"doubt: {problem}")

    def _unmet(self) -> Iterator[str]:
        unmet = [one for one in self.report.verdicts if one.state is not State.MET]
        for one in unmet[:_MOST_UNMET]:
            yield from self._item(f"{one.objective.id}{_advisory(one)}: {one.reason}{_more(one)}")
            if one.journal:
                yield from self._wrapped(one.journal, "      ")
        if len(unmet) > _MOST_UNMET:
            yield from self._item(f"and {wording.many(len(unmet) - _MOST_UNMET, 'more objective')}")

    def _broken_claims(self) -> Iterator[str]:
        """Claims that failed for a reason that is not told yet."""
        report = self.report
        told = {one.claim for one in report.verdicts if one.claim and one.state is not State.MET}
        told |= {law.claim for law in report.laws if law.claim and law.state is not State.MET}
        claims = Evidence(report.session, report.claims, (), explained=frozenset(told)).own_claims()
        for claim in claims[:_MOST_CLAIMS]:
            yield from self._item(f"{report.told(claim)}: {claim.nodeid}: {_reason(claim)}")
        if len(claims) > _MOST_CLAIMS:
            yield from self._item(f"and {wording.many(len(claims) - _MOST_CLAIMS, 'more claim')}")

    def _counts(self) -> Iterator[str]:
        report = self.report
        counts = report.told_counts
        said = ", ".join(f"{counts[name]} {name}" for name in _TOLD if counts[name])
        kept = sum(law.state is State.MET for law in report.laws)
        checked = (
            f"; {kept} of {wording.many(len(report.laws), 'conservation law')} kept" if report.laws else ""
        )
        yield ""
        told = wording.many(len(report.claims), "claim") + (f": {said}" if said else "") + checked
        yield from self._wrapped(told, "  ")

    def _item(self, text: str) -> Iterator[str]:
        first, *rest = self._wrapped(text, "      ")
        yield "    - " + first[6:]
        yield from rest

    def _wrapped(self, text: str, indent: str) -> list[str]:
        said = _printable(" ".join(text.split()))
        return textwrap.wrap(said, self.width, initial_indent=indent, subsequent_indent=indent) or [indent]


def _folded(judged: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """(those with a line each, in their order; the met ones beyond MOST_MET, with the most headroom)."""
    met = sorted((one for one in judged if one.state is State.MET), key=_room)
    folded = {id(one) for one in met[MOST_MET:]}
    return [one for one in judged if id(one) not in folded], met[MOST_MET:]


def _room(one: Judged) -> float:
    """Headroom, endless where it is undefined: a value of 0 fits any number of times."""
    return math.inf if one.verdict.headroom is None else one.verdict.headroom


def _simulated(report: SessionReport) -> str:
    return ", simulated" if report.simulated else ""


def _least(one: Judged) -> str:
    """Nothing where it is undefined: then it is so for all beyond."""
    return "" if one.verdict.headroom is None else f", least headroom {wording.headroom(one.verdict)}"


def _advisory(one: Judged) -> str:
    return "" if one.objective.required else " (advisory)"


def _more(one: Judged) -> str:
    more = one.verdict.requests_more
    return f"; {wording.many(more, 'more request')} would decide it" if more else ""


def _reason(claim: ClaimRecord) -> str:
    return wording.one_line(claim.reason or claim.title, 200)


def _printable(text: str) -> str:
    """Without control characters: a server's error must not steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _painted(text: str, state: Overall, colour: bool) -> str:
    return f"\x1b[{_SGR[state]}m{text}\x1b[0m" if colour else text

"""The top of the page: the state, whether to release on it, and why or why not in at most six lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from instruments.results import ClaimRecord
from instruments.slo import State
from reports import laws, wording
from reports.judged import Judged
from reports.model import SessionReport
from reports.overall import Overall, cannot_tell
from reports.page.objectives import Row, closest, ranked
from reports.page.room import LONGEST_LINE

MOST_LINES = 6
MARKS = {
    Overall.MET: "✓",
    Overall.CLAIMS_HOLD: "✓",
    Overall.VIOLATED: "✕",
    Overall.FAILED: "✕",
    Overall.INCONCLUSIVE: "?",
    Overall.INTERRUPTED: "…",
    Overall.NOTHING_MEASURED: "∅",
}
_GOOD = (Overall.MET, Overall.CLAIMS_HOLD)
_NO = {
    Overall.FAILED: "No. What was claimed of the stack failed, or could not be checked.",
    Overall.VIOLATED: "No. A required objective or a conservation law is broken.",
    Overall.INCONCLUSIVE: "No. This run cannot tell.",
    Overall.NOTHING_MEASURED: "No. Nothing was measured.",
    Overall.INTERRUPTED: "No. The run did not come to its end.",
    Overall.CLAIMS_HOLD: "Not on this run: no required objective was judged.",
    Overall.MET: "Not on this run alone: what was judged is met, but only a gate leaves nothing out.",
}


YES = "Yes. A gate found every required objective met."


@dataclass(frozen=True, slots=True)
class Ground:
    """One line of why or why not; `kind` is a state's class on the page."""

    kind: str
    mark: str
    head: str
    text: str
    href: str


def verdict_view(report: SessionReport) -> dict[str, Any]:
    """The verdict's names: `answer`, `why`, `facts`, and the marks and classes of all states."""
    said = answer(report)
    found = "What was found" if report.state in _GOOD else "Why not"
    return {
        "mark": MARKS,
        "state_class": {state: state.value.lower().replace(" ", "-") for state in Overall},
        "overall": Overall,
        "answer": said,
        "why": why(report),
        "why_title": "Why" if said == YES else found,
        "facts": facts(report),
    }


def answer(report: SessionReport) -> str:
    """Whether it is safe to release, as far as this run can say."""
    if report.simulated and report.state in _GOOD:
        return "Not on this run: no model was behind its numbers."
    if report.objectives_from and report.state is Overall.MET:
        return (
            "Not on this page alone: the records were judged later, with other objectives than the session's."
        )
    if report.session.gate and report.state is Overall.MET:
        return YES
    return _NO[report.state]


def why(report: SessionReport) -> list[Ground]:
    """What speaks against a release; where nothing does, what speaks for it. At most MOST_LINES."""
    against = _against(report)
    if report.state in _GOOD:
        return cut_evenly([_for(report), *against], MOST_LINES)
    return cut_evenly(against, MOST_LINES)


def cut_evenly(kinds: Sequence[Sequence[Ground]], most: int) -> list[Ground]:
    """One line of each kind before a second of any; the last line of a kind that was cut says so."""
    filled = [kind for kind in kinds if kind][:most]
    room = [0] * len(filled)
    while sum(room) < most and any(given < len(kind) for given, kind in zip(room, filled, strict=True)):
        for at, kind in enumerate(filled):
            if room[at] < len(kind) and sum(room) < most:
                room[at] += 1
    lines: list[Ground] = []
    for given, kind in zip(room, filled, strict=True):
        left_out = len(kind) - given
        last = kind[given - 1]
        more = f"{last.text} – and {wording.whole(left_out)} more" if left_out else last.text
        lines += [*kind[: given - 1], replace(last, text=more)]
    return lines


def facts(report: SessionReport) -> list[tuple[str, str]]:
    """What is counted beside the verdict: each with its denominator."""
    required = [one for one in report.verdicts if one.objective.required]
    met = sum(one.state is State.MET for one in required)
    completed = sum(load.summary.completed for load in report.loads)
    judged = sum(load.judged for load in report.loads)
    kept = sum(law.state is State.MET for law in report.laws)
    told = [
        ("exit code", str(report.exit_code)),
        ("required objectives met", _of(met, len(required) + len(report.missing))),
        ("claims passed", _of(report.claim_counts["passed"], len(report.claims))),
        ("requests completed", _of(completed, judged)),
    ]
    return [*told, ("conservation laws kept", _of(kept, len(report.laws)))] if report.laws else told


def _of(count: int, total: int) -> str:
    return f"{wording.whole(count)} of {wording.whole(total)}" if total else wording.UNDEFINED


def _against(report: SessionReport) -> list[list[Ground]]:
    """By kind, the gravest kind first."""
    rows = ranked(report.verdicts)
    return [
        [_objective(row) for row in rows if _is(row.one, State.VIOLATED)],
        [_claim(report, claim) for claim in own_failures(report) if not cannot_tell(claim)],
        [_law(group) for group in laws.unkept(report.laws) if group[0].state is State.VIOLATED],
        [_objective(row) for row in rows if _is(row.one, State.INCONCLUSIVE)],
        [_claim(report, claim) for claim in own_failures(report) if cannot_tell(claim)],
        [_missing(report)] if report.missing else [],
        [
            _law(group)
            for group in laws.unkept(report.laws)
            if group[0].state is State.INCONCLUSIVE and _minded(report, group)
        ],
        [_incident(report)] if report.incidents else [],
        [
            _objective(row)
            for row in rows
            if not row.one.objective.required and row.one.state is not State.MET
        ],
        [_problem(report)] if report.problems else [],
    ]


def _minded(report: SessionReport, group: Sequence[laws.Law]) -> bool:
    """Whether that these laws cannot be checked takes a pass away: a gate minds it, and a test that asked."""
    return group[0].required and (report.session.gate or any(law.claim for law in group))


def _is(one: Judged, state: State) -> bool:
    return one.objective.required and one.state is state


def own_failures(report: SessionReport) -> list[ClaimRecord]:
    """Claims that failed for a reason of their own: one that failed for an objective is told as that."""
    told = {one.claim for one in report.verdicts if one.state is not State.MET and one.objective.required}
    told |= {law.claim for law in report.laws if law.claim}
    broken = [claim for claim in report.claims if claim.outcome not in ("passed", "skipped")]
    return [claim for claim in broken if claim.outcome == "error" or claim.nodeid not in told]


def _objective(row: Row) -> Ground:
    one = row.one
    kind = one.state.lower()
    value = wording.measured(one.verdict)
    value = "no value" if value == wording.UNDEFINED else value
    advisory = "" if one.objective.required else "advisory, "
    text = f"{advisory}{kind} with {value}, limit {wording.limit(one.objective)}"
    if one.state is State.INCONCLUSIVE:
        text += f" – {_gist(one.reason)}"
    head = f"{wording.subject(one.objective)} ({one.objective.id})"
    return Ground(kind, MARKS[Overall(one.state)], head, _short(text), f"#{row.anchor}")


def _gist(reason: str) -> str:
    """The first of the reasons, without what is in brackets: all of it stands in the objective's row."""
    return reason.partition(";")[0].partition(" (")[0]


def _claim(report: SessionReport, claim: ClaimRecord) -> Ground:
    told = {"error": "ended in error"}.get(claim.outcome, report.told(claim))
    kind, mark = ("inconclusive", "?") if told == "undecided" else ("failed", "✕")
    reason = claim.reason.removeprefix(f"{State.INCONCLUSIVE}: ") if told == "undecided" else claim.reason
    return Ground(
        kind,
        mark,
        claim.title or claim.nodeid,
        _short(f"{told}: {reason or 'no reason given'}"),
        "#claims",
    )


def _law(group: Sequence[laws.Law]) -> Ground:
    state = group[0].state
    return Ground(state.lower(), MARKS[Overall(state)], "Conservation law", _short(laws.told(group)), "#laws")


def _missing(report: SessionReport) -> Ground:
    count = wording.share_of(len(report.missing), len(report.session.expected))
    return Ground(
        "inconclusive", "?", "Not judged", f"{count} objectives that the gate requires", "#objectives"
    )


def _incident(report: SessionReport) -> Ground:
    first = report.incidents[0]
    more = f" – and {len(report.incidents) - 1} more" if len(report.incidents) > 1 else ""
    return Ground("failed", "✕", f"Incident: {first.component}", _short(first.what) + more, "#incidents")


def _problem(report: SessionReport) -> Ground:
    first = _short(report.problems[0])
    more = f" – and {len(report.problems) - 1} more" if len(report.problems) > 1 else ""
    return Ground("inconclusive", "?", "Reason to doubt", first + more, "#doubts")


def _for(report: SessionReport) -> list[Ground]:
    found: list[Ground] = []
    required = [one for one in report.verdicts if one.objective.required]
    if required:
        text = f"all {wording.many(len(required), 'required objective')} met"
        near = closest(report.verdicts)
        if near:
            of = f"{wording.subject(near.objective)} ({near.objective.id})"
            value = f"{wording.measured(near.verdict)}, limit {wording.limit(near.objective)}"
            text += f"; closest to its limit: {of} with {value}, headroom {wording.headroom(near.verdict)}"
        found.append(Ground("met", "✓", "Objectives", text, "#objectives"))
    passed, skipped = report.claim_counts["passed"], report.claim_counts["skipped"]
    if passed:
        text = f"{wording.whole(passed)} of {wording.whole(len(report.claims))} passed"
        text += f", {wording.whole(skipped)} skipped" if skipped else ""
        found.append(Ground("met", "✓", "Claims", text, "#claims"))
    return found


def _short(text: str) -> str:
    return wording.one_line(text, LONGEST_LINE)

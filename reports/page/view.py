"""What the page's templates are given: every section's numbers, counted and cut to size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from instruments.records import Outcome
from instruments.results import ClaimRecord
from instruments.slo import State
from instruments.slo.verdict import CLIENT_ERROR_SHARE
from reports import latency, laws, of_place, reproduction, wording
from reports.judged import Judged
from reports.loads import Load
from reports.model import SessionReport
from reports.overall import Overall
from reports.plots import plot_svg

# Bounds that keep the page below 2 MB however large the run: what is left out is said on the page.
MOST_PLOTTED = 16
MOST_DETAILED = 80
LONGEST_DETAIL = 6_000
LONGEST_LOG = 12_000
_WORST_FIRST = ("error", "failed", "undecided", "passed", "skipped")
_MARKS = {
    Overall.MET: "✓",
    Overall.CLAIMS_HOLD: "✓",
    Overall.VIOLATED: "✕",
    Overall.FAILED: "✕",
    Overall.INCONCLUSIVE: "?",
    Overall.INTERRUPTED: "…",
    Overall.NOTHING_MEASURED: "∅",
}


@dataclass(frozen=True, slots=True)
class SuiteGroup:
    """Claims of one suite file, failures first."""

    name: str
    claims: tuple[ClaimRecord, ...]
    counts: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing, its name and how many requests it is of."""

    name: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class LoadView:
    """A load as the page shows it."""

    load: Load
    plots: tuple[Plot, ...]
    quantiles: tuple[latency.QuantileRow, ...]
    description: str


def view(report: SessionReport) -> dict[str, Any]:
    """Names that the templates know, and what they stand for."""
    return {
        "report": report,
        "mark": _MARKS,
        "state_class": {state: state.value.lower().replace(" ", "-") for state in Overall},
        "overall": Overall,
        "facts": _facts(report),
        "verdicts": sorted(report.verdicts, key=_rank),
        "shared_alarms": wording.shared_alarms(one.verdict for one in report.verdicts),
        "of_place": of_place.changes(report),
        "unkept": laws.unkept(report.laws),
        "kept": [law for law in report.laws if law.state is State.MET],
        "incidents": [(one, one.log_tail[-LONGEST_LOG:]) for one in report.incidents],
        "loads": [_load_view(report, load, number) for number, load in enumerate(report.loads)],
        "servers": [(one.summary.name, one.summary.server) for one in report.loads if one.summary.server],
        "unplotted": max(0, len(report.loads) - MOST_PLOTTED),
        "outcomes": _outcomes(report.loads),
        "trusted": _trusted,
        "stamped": _stamped,
        "client_share": wording.PERCENT.quantity(CLIENT_ERROR_SHARE).replace(" ", "\N{NO-BREAK SPACE}"),
        "shares": [wording.figure(share * 100) for share in latency.SHARES],
        "groups": _groups(report),
        "detailed": {claim.nodeid: _detail(claim) for claim in _detailed(report.claims)},
        "undetailed": max(0, sum(bool(claim.detail) for claim in report.claims) - MOST_DETAILED),
        "startup": _startup(report),
        "fingerprint": [(name, _said(value)) for name, value in report.fingerprint.items()],
        "command": reproduction.command(report.session),
        "judge_again": reproduction.judge_again(report.folder),
    }


def _facts(report: SessionReport) -> list[tuple[str, str]]:
    """What is counted beside the verdict: each with its denominator."""
    required = [one for one in report.verdicts if one.objective.required]
    met = sum(one.state is State.MET for one in required)
    completed = sum(load.summary.completed for load in report.loads)
    judged = sum(load.judged for load in report.loads)
    kept = sum(law.state is State.MET for law in report.laws)
    facts = [
        ("exit code", str(report.exit_code)),
        ("required objectives met", _of(met, max(len(required), len(report.session.expected)))),
        ("claims passed", _of(report.claim_counts["passed"], len(report.claims))),
        ("requests completed", _of(completed, judged)),
    ]
    return [*facts, ("conservation laws kept", _of(kept, len(report.laws)))] if report.laws else facts


def _of(count: int, total: int) -> str:
    return f"{wording.whole(count)} of {wording.whole(total)}" if total else wording.UNDEFINED


def _load_view(report: SessionReport, load: Load, number: int) -> LoadView:
    objectives = [one.objective for one in report.verdicts if one.journal == load.journal]
    drawn = latency.panels(load.summary, objectives) if number < MOST_PLOTTED else ()
    return LoadView(
        load=load,
        plots=tuple(
            Plot(panel.name, _caption(panel), plot_svg(panel, f"p{number}-{at}"))
            for at, panel in enumerate(drawn)
        ),
        quantiles=tuple(latency.quantile_rows(load.summary)),
        description=json.dumps(dict(load.run.description), indent=2, ensure_ascii=False, default=str),
    )


def _caption(panel: latency.Panel) -> str:
    curve = panel.curves[0]
    missing = curve.total - len(curve.values)
    without = f"; {wording.whole(missing)} without one count as slower than everything" if missing else ""
    return f"{wording.whole(len(curve.values))} of {wording.whole(curve.total)} requests{without}"


def _outcomes(loads: Sequence[Load]) -> list[Outcome]:
    """Outcomes that occurred anywhere; COMPLETED always has its column of its own."""
    seen = {outcome for load in loads for outcome, count in load.summary.outcomes.items() if count}
    return [outcome for outcome in Outcome if outcome in seen and outcome is not Outcome.COMPLETED]


def _stamped(load: Load) -> str:
    """Whose clock stamped what arrived, and whether its error was measured for this run."""
    client = load.summary.client
    if client is None:
        return "–"
    whose = {"kernel": "kernel", "user": "the client itself", "mixed": "kernel and client"}
    calibrated = "calibrated" if load.run.description.get("calibration") else "not calibrated"
    return f"{whose.get(client.stamps, 'nobody')}, {calibrated}"


def _trusted(load: Load) -> float | None:
    """The smallest limit on TTFT or E2E, in seconds, that this client's own error lets it judge."""
    lag_s, error_s = load.summary.send_lag_p99_s, load.summary.stamp_error_s
    if lag_s is None or error_s is None:
        return None
    return max(lag_s, error_s) / CLIENT_ERROR_SHARE


def _groups(report: SessionReport) -> list[SuiteGroup]:
    """By suite file; files with a failure first, and in each what failed before what passed."""
    by_file: dict[str, list[ClaimRecord]] = {}
    for claim in report.claims:
        by_file.setdefault(claim.nodeid.partition("::")[0], []).append(claim)

    def badness(claim: ClaimRecord) -> int:
        told = report.told(claim)
        return _WORST_FIRST.index(told) if told in _WORST_FIRST else 0

    groups = [
        SuiteGroup(name, tuple(sorted(of_file, key=badness)), _counts(list(map(report.told, of_file))))
        for name, of_file in by_file.items()
    ]
    return sorted(groups, key=lambda group: (min(map(badness, group.claims)) >= _PASSED, group.name))


def _counts(told: Sequence[str]) -> str:
    found = {name: told.count(name) for name in _WORST_FIRST}
    return ", ".join(f"{count} {name}" for name, count in found.items() if count) + f" of {len(told)}"


def _detailed(claims: Sequence[ClaimRecord]) -> list[ClaimRecord]:
    return [claim for claim in claims if claim.detail][:MOST_DETAILED]


def _detail(claim: ClaimRecord) -> str:
    """The end of a long failure: pytest says what went wrong last."""
    cut = len(claim.detail) - LONGEST_DETAIL
    return claim.detail if cut <= 0 else f"… {cut} characters left out\n{claim.detail[cut:]}"


def _startup(report: SessionReport) -> list[tuple[str, float, float]]:
    """(component, seconds, share of the slowest), the slowest first."""
    slowest = max(report.session.startup_s.values(), default=0.0)
    ranked = sorted(report.session.startup_s.items(), key=lambda item: -item[1])
    return [(name, seconds, seconds / slowest if slowest else 0.0) for name, seconds in ranked]


def _said(value: Any) -> str:
    if value is None or value == "":
        return wording.UNDEFINED
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _rank(one: Judged) -> tuple[int, bool]:
    return _STATES.index(one.state), not one.objective.required


_STATES = (State.VIOLATED, State.INCONCLUSIVE, State.MET)
_PASSED = _WORST_FIRST.index("passed")

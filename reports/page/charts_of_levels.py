"""Drawings over loads: latency and throughput against users, the knee of each search, comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instruments.statistics.comparison import Change
from instruments.statistics.indicators import INDICATORS
from reports import wording
from reports.charts.families import Family, families
from reports.charts.knees import Knee, knee
from reports.model import SessionReport
from reports.page.chart_tables import Table, family_table, knee_table
from reports.page.charts_of_loads import Chart
from reports.plots.levels import good_rate_svg, good_share_svg, throughput_svg, ttft_svg
from reports.plots.ratios import interval, ratio_svg
from reports.trials import Trial, TrialNumbers
from reports.wording import figure, whole

MOST_FAMILIES = 6
MOST_SEARCHES = 6
MOST_COMPARISONS = 12
_OF_CHANGE = {
    Change.WORSE: ("violated", "✕"),
    Change.INCONCLUSIVE: ("inconclusive", "?"),
    Change.EQUIVALENT: ("met", "✓"),
    Change.BETTER: ("met", "✓"),
}


@dataclass(frozen=True, slots=True)
class Curves:
    """A family or a search: what it says in words, drawings, and their numbers."""

    name: str
    lead: str
    charts: tuple[Chart, ...]
    table: Table
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A beside B, in words. `equal`: within how much they are the same, empty where nothing is."""

    name: str
    figure: str
    ratio: str
    interval: str
    change: str
    kind: str
    mark: str
    reason: str
    equal: str
    simulated: bool
    chart: Chart


def levels_view(report: SessionReport) -> dict[str, Any]:
    """`families`, `knees` and `comparisons` for the page, each bounded; `unshown` says what is left out."""
    found = families(report.loads)
    read = [(one.workload, knee(one, report.folder)) for one in report.searches[:MOST_SEARCHES]]
    unshown = [f"capacity/{name}: its document has another shape" for name, one in read if one is None]
    for noun, total, most in (
        ("family", len(found), MOST_FAMILIES),
        ("search", len(report.searches), MOST_SEARCHES),
        ("comparison", len(report.trials), MOST_COMPARISONS),
    ):
        if total > most:
            unshown.append(f"{total - most} further of {total} ({noun}), to keep the page small")
    knees = [one for _, one in read if one is not None]
    return {
        "families": [_family(one, f"f{at}") for at, one in enumerate(found[:MOST_FAMILIES])],
        "knees": [_knee(one, f"k{at}") for at, one in enumerate(knees)],
        "comparisons": [
            _comparison(one, one.numbers, f"r{at}")
            for at, one in enumerate(report.trials[:MOST_COMPARISONS])
            if one.numbers is not None
        ],
        "unshown": unshown,
    }


def _family(of: Family, prefix: str) -> Curves:
    users = [one.users for one in of.levels]
    judged = sum(one.load.judged for one in of.levels)
    done = sum(one.load.summary.completed for one in of.levels)
    told = (
        f"{len(of.levels)} loads that differ in their number of users only, from {whole(min(users))} to "
        f"{whole(max(users))}; {whole(done)} of {whole(judged)} requests completed."
    )
    charts = (
        Chart("TTFT against users", "bars: 95 % intervals", ttft_svg(of, f"{prefix}-t")),
        Chart("Throughput against users", "of the measured window", throughput_svg(of, f"{prefix}-o")),
    )
    doubted = [f"at {wording.many(one.users, 'user')} {one.doubt}" for one in of.levels if one.doubt]
    notes = (f"not to be relied on: {', '.join(doubted)}",) if doubted else ()
    return Curves(of.name, told, charts, family_table(of), notes)


def _knee(of: Knee, prefix: str) -> Curves:
    limits = [
        f"{INDICATORS[name].label} ≤ {wording.time_scale(limit).quantity(limit)}"
        for name, limit in of.limits.items()
    ]
    good = f"good: completed{', with ' if limits else ''}{', '.join(limits)}"
    charts: tuple[Chart, ...] = ()
    if any(one.judged for one in of.probes):
        charts = (
            Chart("Share that is good", f"{good}; bars: 95 % intervals", good_share_svg(of, f"{prefix}-g")),
            Chart("Goodput", good, good_rate_svg(of, f"{prefix}-r")),
        )
    notes = (of.problem,) if of.problem else ()
    return Curves(of.workload, lead(of), charts, knee_table(of), notes)


def lead(of: Knee) -> str:
    """Where the knee lies and what became of the promise, in a sentence each."""
    unit = "users" if of.by == "users" else "requests/s"
    surely = f"at {wording.PERCENT.quantity(of.confidence)} confidence"
    low, violated = f"{figure(of.low)} {unit}", f"{figure(of.violated)} {unit}"
    if of.low is None and of.violated is None:
        where = "The knee was not found"
    elif of.violated is None:
        where = f"The knee is at {low} or above, {surely}"
    elif of.low is None:
        where = f"The knee is below {violated}, {surely}"
    else:
        where = f"The knee lies from {figure(of.low)} to below {violated}, {surely}"
    told = [where, f"{of.reason[:1].upper()}{of.reason[1:]}"]
    if of.promise is not None:
        told.append(f"Promised: {figure(of.promise)} {unit}, {of.promised or 'undecided'}")
    return "".join(f"{one}. " for one in told if one).strip()


def _comparison(trial: Trial, of: TrialNumbers, prefix: str) -> Comparison:
    kind, mark = _OF_CHANGE[of.change]
    a, b = (wording.share_of(*one) for one in zip(of.failed, of.requests, strict=True))
    ratio, confidence = wording.figure(of.ratio.value), wording.PERCENT.quantity(of.ratio.confidence)
    more = f"; about {wording.many(of.pairs_more, 'more pair')} would decide it" if of.pairs_more else ""
    return Comparison(
        name=trial.name,
        figure=str(of.figure),
        ratio="undefined" if ratio == wording.UNDEFINED else f"{ratio}×",
        interval=f"{interval(of)} at {confidence} confidence, at every look",
        change=str(of.change),
        kind=kind,
        mark=mark,
        reason=of.reason + more,
        equal="" if of.rule.tolerance is None else wording.PERCENT.quantity(of.rule.tolerance),
        simulated=of.simulated,
        chart=Chart(
            str(of.figure),
            f"{wording.many(of.pairs, 'pair')}; failed: A {a}, B {b}",
            ratio_svg(trial, of, prefix),
        ),
    )

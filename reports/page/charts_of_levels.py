"""Drawings over loads: latency and throughput against users, the knee of each search, comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instruments.statistics.indicators import INDICATORS
from reports import wording
from reports.charts.families import Family, families
from reports.charts.knees import Knee, knee
from reports.charts.ratios import Ratio, ratios
from reports.model import SessionReport
from reports.page.chart_tables import Table, family_table, knee_table
from reports.page.charts_of_loads import Chart
from reports.plots.levels import good_rate_svg, good_share_svg, throughput_svg, ttft_svg
from reports.plots.ratios import ratio_svg
from reports.wording import figure, whole

MOST_FAMILIES = 6
MOST_SEARCHES = 6
MOST_COMPARISONS = 12


@dataclass(frozen=True, slots=True)
class Curves:
    """A family or a search: what it says in words, drawings, and their numbers."""

    name: str
    lead: str
    charts: tuple[Chart, ...]
    table: Table
    notes: tuple[str, ...] = ()


def levels_view(report: SessionReport) -> dict[str, Any]:
    """`families`, `knees` and `comparisons` for the page, each bounded; `unshown` says what is left out."""
    found = families(report.loads)
    read = [(one.workload, knee(one, report.folder)) for one in report.searches[:MOST_SEARCHES]]
    compared, unread = ratios(report.trials[:MOST_COMPARISONS])
    unshown = [f"capacity/{name}: its document has another shape" for name, one in read if one is None]
    unshown += [f"trials/{name}: its document has another shape" for name in unread]
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
        "comparisons": [(one, _ratio(one, f"r{at}")) for at, one in enumerate(compared)],
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
    return Curves(of.name, told, charts, family_table(of))


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


def _ratio(of: Ratio, prefix: str) -> Chart:
    failed = [
        f"{arm} {whole(failed)} of {whole(requests)}"
        for arm, failed, requests in zip("AB", of.failed, of.requests, strict=True)
    ]
    caption = f"{wording.many(of.pairs, 'pair')}; failed: {', '.join(failed)}"
    return Chart(of.figure, caption, ratio_svg(of, prefix))

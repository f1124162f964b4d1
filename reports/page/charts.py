"""What the page shows of loads: an overview of all, drawings of those that matter most, tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instruments.records import Outcome
from instruments.slo import ServiceLevelObjective, State
from reports import latency, wording
from reports.loads import Load
from reports.model import SessionReport
from reports.page.chart_tables import said
from reports.page.charts_of_levels import levels_view
from reports.page.charts_of_loads import LoadCharts, load_charts

# Bounds that keep the page below 2 MB, and its making to seconds, however many loads a run has. What is left
# out is said on the page.
MOST_PLOTTED = 10
MOST_PLOTTED_BYTES = 520_000
MOST_TABLED = 60
MOST_LISTED = 250
UNFOLDED = 2
_STATES = (State.VIOLATED, State.INCONCLUSIVE, State.MET)


@dataclass(frozen=True, slots=True)
class LoadView:
    """A load as the page shows it: `charts` only of the first, `quantiles` only of those with tables."""

    load: Load
    state: State | None  # the worst of the objectives judged on it; None without any
    objectives: tuple[ServiceLevelObjective, ...]
    ttft_p50: str
    ttft_p95: str
    charts: LoadCharts | None = None
    quantiles: tuple[latency.QuantileRow, ...] = ()
    description: str = ""


def charts_view(report: SessionReport) -> dict[str, Any]:
    """Names that the templates of loads and charts know, and what they stand for."""
    views = tuple(_views(report))
    listed = {view.load.journal for view in views}
    return {
        "loads": views,
        "loads_unlisted": len(report.loads) - len(views),
        "tabled": views[:MOST_TABLED],
        "unfolded": UNFOLDED,
        "sampled": any(view.load.summary.anytime for view in views),
        "unplotted": len(views) - sum(view.charts is not None for view in views),
        "untabled": max(0, len(views) - MOST_TABLED),
        "servers": [
            (one.summary.name, one.summary.server)
            for one in report.loads
            if one.summary.server and one.journal in listed
        ],
        "outcomes": _outcomes(report.loads),
        "shares": [wording.figure(share * 100) for share in latency.SHARES],
        **levels_view(report),
    }


def ranked(report: SessionReport) -> list[tuple[Load, State | None, tuple[ServiceLevelObjective, ...]]]:
    """Every load with the worst state of what was judged on it: the worst first, those without any last."""
    judged: dict[str | None, list[tuple[State, ServiceLevelObjective]]] = {}
    for one in report.verdicts:
        judged.setdefault(one.journal, []).append((one.state, one.objective))
    found: list[tuple[Load, State | None, tuple[ServiceLevelObjective, ...]]] = []
    for load in report.loads:
        of = judged.get(load.journal, [])
        worst = min((state for state, _ in of), key=_STATES.index, default=None)
        found.append((load, worst, tuple(objective for _, objective in of)))
    return sorted(found, key=lambda one: len(_STATES) if one[1] is None else _STATES.index(one[1]))


def _views(report: SessionReport) -> Iterator[LoadView]:
    drawn_bytes = 0
    for number, (load, state, objectives) in enumerate(ranked(report)[:MOST_LISTED]):
        charts, samples = None, latency.samples(load.summary)
        if number < MOST_PLOTTED and drawn_bytes < MOST_PLOTTED_BYTES:
            charts = load_charts(load, objectives, samples, f"l{number}")
            drawn_bytes += charts.size
        tabled = number < MOST_TABLED
        yield LoadView(
            load=load,
            state=state,
            objectives=objectives,
            ttft_p50=said(samples["ttft_s"].estimate(0.5)),
            ttft_p95=said(samples["ttft_s"].estimate(0.95)),
            charts=charts,
            quantiles=tuple(latency.quantile_rows(load.summary, samples)) if tabled else (),
            description=_described(load.run.description) if tabled else "",
        )


def _described(description: Mapping[str, Any]) -> str:
    return json.dumps(dict(description), indent=1, ensure_ascii=False, default=str)


def _outcomes(loads: Sequence[Load]) -> list[Outcome]:
    """Outcomes that occurred anywhere; COMPLETED always has its column of its own."""
    seen = {outcome for load in loads for outcome, count in load.summary.outcomes.items() if count}
    return [outcome for outcome in Outcome if outcome in seen and outcome is not Outcome.COMPLETED]

"""Searches for capacity as curves: what each probe came to, and where the knee lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instruments.errors import JournalError
from instruments.journal import load_run
from instruments.records import Outcome
from instruments.slo import State
from instruments.slo.goodput import is_good
from instruments.statistics import RunSummary, summarize
from instruments.statistics.correlation import effective_share_of_bad
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.quantiles import share_interval
from reports.loads import MALFORMED
from reports.searches import Search

MOST_BYTES = 200_000_000  # of a search's journals: more are not read for a drawing
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ProbePoint:
    """One level that was tried. The numbers are None where its journal cannot be read."""

    level: float
    state: State
    evidence: str
    good: int | None = None
    judged: int | None = None  # due, less those cancelled on purpose
    good_low: float | None = None  # share, 0 to 1
    good_high: float | None = None
    good_per_s: float | None = None
    completed_per_s: float | None = None
    tokens_per_s: float | None = None

    @property
    def good_share(self) -> float | None:
        return self.good / self.judged if self.judged and self.good is not None else None


@dataclass(frozen=True, slots=True)
class Knee:
    """A search: the highest level that holds is from `low` to below `violated`; None is not enclosed."""

    workload: str
    by: str  # "users" or "rate"
    probes: tuple[ProbePoint, ...]  # by level
    limits: Mapping[str, float]  # what makes a request good, in seconds by indicator
    low: float | None
    high: float | None
    violated: float | None
    promise: float | None
    promised: str | None  # MET, VIOLATED or INCONCLUSIVE
    reason: str
    confidence: float
    problem: str | None = None


def knee(search: Search, folder: Path) -> Knee | None:
    """A search's document with the numbers of its journals; None where the document has another shape."""
    try:
        return _knee(search.document, search.workload, folder / "capacity" / search.workload)
    except MALFORMED:
        return None


def _knee(document: Mapping[str, Any], workload: str, folder: Path) -> Knee:
    limits = good_limits(document["objectives"])
    asked, told = document["asked"], document["probes"]
    paths = [folder / str(one["journal"]) for one in told]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    problem = None
    if size > MOST_BYTES:
        problem = f"the journals of its probes are {size / 1e6:,.0f} MB, too large to be read for a drawing"
    points = [
        _point(one, None if problem else _read(path), limits) for one, path in zip(told, paths, strict=True)
    ]
    unread = sum(point.judged is None for point in points)
    if unread and problem is None:
        problem = f"the journals of {unread} of {len(points)} probes cannot be read"
    return Knee(
        workload=workload,
        by=str(asked["by"]),
        probes=tuple(sorted(points, key=lambda point: point.level)),
        limits=limits,
        low=_number(document.get("low")),
        high=_number(document.get("high")),
        violated=_number(document.get("violated")),
        promise=_number(asked.get("promise")),
        promised=document.get("promise"),
        reason=str(document.get("reason") or ""),
        confidence=float(asked.get("confidence", _CONFIDENCE)),
        problem=problem,
    )


def good_limits(objectives: list[Mapping[str, Any]]) -> dict[str, float]:
    """Limits that make a request good: those of the objectives on single requests' latencies.

    A quantile's limit is what a request within it keeps; of two limits on one indicator the tighter one.
    """
    limits: dict[str, float] = {}
    for one in objectives:
        timed = INDICATORS[one["indicator"]].per_request and one["at_most"] is not None
        mine = {one["indicator"]: one["at_most"]} if timed and one["statistic"] != "mean" else {}
        for name, limit in {**mine, **one.get("per_request", {})}.items():
            limits[name] = min(limits.get(name, limit), limit)
    return limits


def _read(path: Path) -> RunSummary | None:
    try:
        return summarize(load_run(path))
    except (JournalError, *MALFORMED):
        return None


def _point(told: Mapping[str, Any], summary: RunSummary | None, limits: Mapping[str, float]) -> ProbePoint:
    level, state, evidence = float(told["level"]), State(told["state"]), str(told.get("evidence", ""))
    if summary is None:
        return ProbePoint(level, state, evidence)
    records = [one for one in summary.records if one.outcome is not Outcome.CANCELLED]
    records.sort(key=lambda one: one.due_ns if one.sent_ns is None else one.sent_ns)
    bad = np.array([not is_good(one, limits) for one in records], dtype=np.float64)
    good, n = int(len(bad) - bad.sum()), len(bad)
    worth = effective_share_of_bad(bad, 0.5) if n else 1.0
    low, high = share_interval(good * worth, n * worth, _CONFIDENCE) or (None, None)
    seconds = summary.duration_s
    return ProbePoint(
        level, state, evidence, good, n, low, high,
        good / seconds if seconds else None, summary.completed_per_s, summary.output_tokens_per_s,
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None else float(value)

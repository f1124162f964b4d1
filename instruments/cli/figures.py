"""Figures: a summary's distributions in the few numbers that are printed, the same for eyes and machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from instruments.records import RequestRecord
from instruments.statistics import RunSummary
from instruments.statistics.indicators import SECOND_NS
from instruments.statistics.quantiles import quantile, quantile_interval

CONFIDENCE = 0.95
LATENCIES = {
    "ttft_s": "TTFT",
    "ttft_from_due_s": "TTFT from due",
    "tpot_s": "TPOT",
    "itl_s": "ITL",
    "chunk_gap_s": "chunk gap",
    "e2e_s": "E2E",
    "e2e_from_due_s": "E2E from due",
}
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """In seconds; None where there is no value, or too few for an interval.

    `undefined` counts the completed requests for which there is none.
    """

    count: int
    undefined: int = 0
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p95_interval: Interval | None = None
    p99: float | None = None
    p99_interval: Interval | None = None
    max: float | None = None


def latencies(summary: RunSummary) -> dict[str, Distribution]:
    """By indicator, in the order in which they are shown."""
    pooled = {"itl_s": summary.itl_s, "chunk_gap_s": summary.chunk_gap_s}
    return {
        # The gaps of one answer are not independent of each other: an interval would promise too much.
        name: distribution(pooled[name] or (), summary.undefined.get(name, 0), alone=False)
        if name in pooled
        else distribution(summary.distributions[name], summary.undefined[name])
        for name in LATENCIES
    }


def distribution(ordered: Sequence[float], undefined: int = 0, *, alone: bool = True) -> Distribution:
    """Of ascending values; `alone` tells that each is of a request of its own."""
    if not ordered:
        return Distribution(0, undefined)
    return Distribution(
        count=len(ordered),
        undefined=undefined,
        mean=math.fsum(ordered) / len(ordered),
        p50=quantile(ordered, 0.5),
        p90=quantile(ordered, 0.9),
        p95=quantile(ordered, 0.95),
        p95_interval=quantile_interval(ordered, 0.95, CONFIDENCE) if alone else None,
        p99=quantile(ordered, 0.99),
        p99_interval=quantile_interval(ordered, 0.99, CONFIDENCE) if alone else None,
        max=ordered[-1],
    )


def read_lag_s(records: Sequence[RequestRecord]) -> Distribution:
    """Of each answer, the longest time that bytes lay in the kernel before they were read."""
    return distribution(sorted(one.read_lag_ns / SECOND_NS for one in records if one.read_lag_ns is not None))

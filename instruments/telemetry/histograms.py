"""Histograms of the server: what was observed between two snapshots, told as intervals between bounds.

A bucket says how many observations were at most its bound, and nothing of where below it they were. So
nothing here interpolates, as PromQL's `histogram_quantile` does: a limit that is no bound, and every
quantile, is an interval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from instruments.errors import TelemetryError
from instruments.telemetry.counters import began_anew
from instruments.telemetry.snapshot import Labels, Snapshot

SAME = 1e-9  # relative: 300 ms in seconds may miss 0.3 by a rounding


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations by finite upper bound, ascending: `cumulative[i]` of them were at most `bounds[i]`."""

    bounds: tuple[float, ...]
    cumulative: tuple[float, ...]
    count: float  # all observations, those above the top bound too
    sum: float | None = None  # of the observed values; None when the server does not say

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.sum is not None and self.count else None

    def share_at_most(self, limit: float) -> tuple[float, float] | None:
        """(lowest, highest) share of observations that can have been at most the limit; None without any.

        Both are equal where the limit is a bound, or nothing lies between the bounds around it. Above the
        top bound nothing is known of what is there: the highest is 1.
        """
        if not self.count:
            return None
        if math.isinf(limit) and limit > 0:
            return 1.0, 1.0
        below = above = None
        for bound, cumulative in zip(self.bounds, self.cumulative, strict=True):
            if math.isclose(bound, limit, rel_tol=SAME):
                return cumulative / self.count, cumulative / self.count
            if bound < limit:
                below = cumulative
            elif above is None:
                above = cumulative
        return (below or 0.0) / self.count, (self.count if above is None else above) / self.count

    def quantile_interval(self, p: float) -> tuple[float, float] | None:
        """(above, at most): bounds of the bucket that holds the p-quantile; None without an observation.

        The quantile is the smallest value with at least a share p at or below it (type 1 of Hyndman and
        Fan), as it is of client records. Above the top bound it is (top bound, infinity).
        """
        if not self.count:
            return None
        rank = min(self.count, max(1.0, math.ceil(self.count * p - SAME)))
        lower = (
            0.0 if not self.bounds or self.bounds[0] > 0 else -math.inf
        )  # times and counts are not negative
        for bound, cumulative in zip(self.bounds, self.cumulative, strict=True):
            if cumulative >= rank:
                return lower, bound
            lower = bound
        return lower, math.inf


def between(before: Snapshot, after: Snapshot, name: str, **labels: str) -> Histogram | None:
    """What a histogram observed between two snapshots, over all series; None when absent afterwards.

    `name` is without `_bucket`. Of engines with unlike bounds, those that all have are kept. A series that
    was reset counts from 0. TelemetryError when its buckets contradict each other.
    """
    was, now = _by_series(before, name, labels), _by_series(after, name, labels)
    if not now:
        return None
    went_on = {
        has for has in was.keys() & now.keys() if not _reset(before, after, name, has, was[has], now[has])
    }
    grown = [
        {bound: count - (was[has][bound] if has in went_on else 0.0) for bound, count in buckets.items()}
        for has, buckets in now.items()
    ]
    bounds = sorted(set.intersection(*map(set, grown)))  # infinity is the last, all have it
    cumulative = [sum(one[bound] for one in grown) for bound in bounds]
    if any(later < earlier for earlier, later in pairwise([0.0, *cumulative])):
        raise TelemetryError(
            f"the buckets of {name} contradict each other",
            expected="counts that rise with the bound",
            seen=", ".join(f"{count:g}" for count in cumulative),
        )
    total = _sum(before, after, f"{name}_sum", now.keys(), went_on)
    return Histogram(tuple(bounds[:-1]), tuple(cumulative[:-1]), cumulative[-1], total)


def _by_series(snapshot: Snapshot, name: str, labels: dict[str, str]) -> dict[Labels, dict[float, float]]:
    """Labels without the bound -> bound -> how many were at most that."""
    found: dict[Labels, dict[float, float]] = defaultdict(dict)
    for has, count in snapshot.series(f"{name}_bucket", **labels).items():
        bound = next((text for label, text in has if label == "le"), None)
        if bound is None or math.isnan(count):
            raise TelemetryError(f"a bucket of {name} cannot be read", seen=f"bound {bound}, count {count:g}")
        found[frozenset(one for one in has if one[0] != "le")][_number(bound, name)] = count
    for has, buckets in found.items():
        if math.inf not in buckets:
            raise TelemetryError(f"{name} has no bucket without a bound", seen=str(sorted(has)))
    return dict(found)


def _number(bound: str, name: str) -> float:
    try:
        return float(bound)
    except ValueError:
        raise TelemetryError(f"a bucket of {name} has a bound that is no number", seen=bound) from None


def _reset(
    before: Snapshot,
    after: Snapshot,
    name: str,
    has: Labels,
    was: dict[float, float],
    now: dict[float, float],
) -> bool:
    """Whether a series began anew: its counts fell, its bounds are others, or it says when it was born."""
    fell = was.keys() != now.keys() or any(now[bound] < count for bound, count in was.items())
    return fell or began_anew(before, after, f"{name}_bucket", has)


def _sum(
    before: Snapshot, after: Snapshot, name: str, series: Iterable[Labels], went_on: set[Labels]
) -> float | None:
    """Growth of the sum of values, from 0 where the buckets began anew; None when a series tells none."""
    total = 0.0
    for has in series:
        grown = after.samples.get((name, has), math.nan)
        if has in went_on:
            grown -= before.samples.get((name, has), math.nan)
        total += grown
    return None if math.isnan(total) else total

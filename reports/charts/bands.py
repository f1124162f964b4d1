"""The confidence band of an empirical distribution: how far the true share may lie from what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instruments.statistics.quantiles import share_interval

CONFIDENCE = 0.95
MOST_POINTS = 16
_TAIL = 4  # the last ranks, which limits are about, are all kept


@dataclass(frozen=True, slots=True)
class Band:
    """At `values` (seconds, ascending) the share at or below, and its interval; all of the same length."""

    values: tuple[float, ...]
    counts: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    total: int
    effective: float  # of `total`, as a share: what the requests are worth
    every: bool  # whether each value that occurs has its point: else lines lead from one to the next


def band(ordered: Sequence[float], total: int, effective: float = 1.0) -> Band | None:
    """The pointwise 95 % band of `ordered` ascending values, of `total` that count; None without any.

    At each point the exact interval of Clopper and Pearson (1934) for the share at or below it, of as many
    independent requests as these are worth. Pointwise: each interval holds its share with 95 %, not all of
    them together. It is what a verdict on a limit asks at that limit; a simultaneous band (Dvoretzky, Kiefer
    and Wolfowitz) would be 13.6 points wide on either side of 100 requests, at p99 too.
    """
    if not len(ordered) or not total:
        return None
    array = np.asarray(ordered, dtype=np.float64)
    values, counts = _points(array)
    worth = total * effective
    # A share is between 0 and 1, and at most so many of these were seen: nothing else can be undefined.
    ends = [share_interval(count * effective, worth, CONFIDENCE) or (0.0, 1.0) for count in counts]
    low, high = zip(*ends, strict=True)
    every = len(values) == len(np.unique(array)) if len(array) <= 10 * MOST_POINTS else False
    return Band(tuple(values), tuple(counts), low, high, total, effective, every)


def _points(array: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[list[float], list[int]]:
    """Values that occur, evenly by rank, each with how many are at or below it."""
    n = len(array)
    ranks = np.linspace(0, n - 1, min(n, MOST_POINTS - _TAIL)).round().astype(int)
    ranks = np.union1d(ranks, np.arange(max(0, n - _TAIL), n))
    values = np.unique(array[ranks])
    counts = np.searchsorted(array, values, side="right")
    return values.tolist(), counts.tolist()

"""Trends: how fast a series moves, with an interval that neighbours in time do not make too narrow.

A series is cut into blocks of equal numbers of neighbours; of each block its median is kept, so that one hang
of the machine is no trend. A line through these, by least squares, has a slope with Student's interval, which
is widened by the correlation that is left between neighbouring blocks: with correlation r of the residuals
blocks are worth (1 - r)/(1 + r) times their number (Bartlett 1935, for what fades geometrically). Positive r
only: nothing makes the interval narrower than that of independent blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instruments.statistics.sequence import student_quantile

BLOCKS = 12
BLOCKS_LEAST = 6  # fewer, and the interval would be of three degrees of freedom
MOST_CORRELATED = 0.9  # beyond that nothing is known of how much a series is worth


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope in units of the series a second, with its interval at `confidence`; both None where unknown.

    `level`: the median of the first block, from which it moves. `correlation`: what widened the interval.
    """

    slope: float | None
    low: float | None
    high: float | None
    level: float | None
    values: int
    blocks: int
    correlation: float = 0.0

    def over(self, horizon_s: float) -> tuple[float, float, float] | None:
        """How much it moves in so many seconds, if it goes on: value, low, high."""
        if self.slope is None or self.low is None or self.high is None:
            return None
        return self.slope * horizon_s, self.low * horizon_s, self.high * horizon_s


def trend(
    times_s: Sequence[float], values: Sequence[float], *, confidence: float = 0.95, blocks: int = BLOCKS
) -> Trend:
    """The trend of values at instants, which need not be in order; undefined for fewer than six blocks.

    ValueError where there is not one instant for each value.
    """
    if len(times_s) != len(values):
        raise ValueError(f"{len(times_s)} instants for {len(values)} values")
    order = np.argsort(np.asarray(times_s, dtype=np.float64), kind="stable")
    times = np.asarray(times_s, dtype=np.float64)[order]
    series = np.asarray(values, dtype=np.float64)[order]
    n = min(blocks, len(series))
    if n < BLOCKS_LEAST or times[-1] <= times[0]:
        return Trend(None, None, None, None, len(series), n)
    at = np.array([part.mean() for part in np.array_split(times, n)])
    found = np.array([np.median(part) for part in np.array_split(series, n)])
    centred = at - at.mean()
    spread = float((centred**2).sum())
    if spread <= 0:
        return Trend(None, None, None, None, len(series), n)
    slope = float((centred * found).sum()) / spread
    residuals = found - found.mean() - slope * centred
    correlation = _correlation(residuals)
    deviation = math.sqrt(float((residuals**2).sum()) / (n - 2) / spread)
    worth = (1 - correlation) / (1 + correlation)
    half = student_quantile((1 + confidence) / 2, n - 2) * deviation / math.sqrt(worth)
    return Trend(slope, slope - half, slope + half, float(found[0]), len(series), n, correlation)


def _correlation(residuals: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Of neighbours, from 0 to MOST_CORRELATED; that of a series without any deviation is 0.

    Residuals of a fitted line are correlated by less than what they are residuals of, by about 4/n with n of
    them: so much is added (Kendall 1954, for a mean and a slope).
    """
    total = float((residuals**2).sum())
    if total <= 1e-24 * max(1.0, float(np.abs(residuals).max())):
        return 0.0
    found = float((residuals[1:] * residuals[:-1]).sum()) / total
    return min(max(found + 4 / len(residuals) if found > 0 else found, 0.0), MOST_CORRELATED)

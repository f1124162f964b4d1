"""Correlation between requests: how many independent ones a run is worth.

Neighbours in time share a batch, a queue, a noisy machine. A run of n requests then says as much of a share
as a smaller number of independent ones, the effective sample size, and every interval and test here is
given that number instead of n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

FEWEST = 40  # with fewer values nothing is said of their correlation
# Correlation is taken off only where it shows by more than chance would let it in about one of a hundred
# independent runs: what is estimated from noise would only make every interval too wide.
SURE = 2.5
FEWEST_BAD = 20  # for correlation among the bad requests to be seen among them


def effective_share(values: Sequence[float] | Values) -> float:
    """Effective sample size of a mean over n, in (0, 1], for values in the order of their sending.

    1.0 where no correlation shows. What hangs together for longer than a batch is a change of level, and for
    `steady` to find.
    """
    array = np.asarray(values, dtype=np.float64)
    return 1 / _inflation(array) if _correlated(array) else 1.0


def _inflation(values: Values) -> float:
    """Long-run variance over variance, at least 1: by batches, and as if correlation faded geometrically.

    The larger of the two: batches of a short run are too short to hold all of it, and what does not fade
    at an even pace is not seen from one step.
    """
    variance = float(values.var())
    if variance <= 0:
        return 1.0
    together = lag_one(values, variance)
    geometric = (1 + together) / (1 - min(together, 0.99))
    return min(max(long_run_variance(values) / variance, geometric, 1.0), float(_batch(len(values))))


def _correlated(values: Values) -> bool:
    """Whether neighbours hang together by more than chance lets independent ones."""
    n = len(values)
    variance = float(values.var()) if n >= FEWEST else 0.0
    if variance <= 0:
        return False
    if lag_one(values, variance) * math.sqrt(n) >= SURE:
        return True
    noise = math.sqrt(4 * _batch(n) / (3 * n))  # of the ratio, when nothing is correlated
    return long_run_variance(values) / variance >= 1 + (SURE + 0.5) * noise


def long_run_variance(values: Values) -> float:
    """n times the variance of the mean of n correlated values, by overlapping batch means.

    Source: Meketon and Schmeiser 1984; batches of about the square root of n.
    """
    n = len(values)
    b = _batch(n)
    sums = np.concatenate(([0.0], np.cumsum(values - values.mean())))
    means = (sums[b:] - sums[:-b]) / b
    return float(n * b / ((n - b) * (n - b + 1)) * np.square(means).sum())


def effective_share_of_bad(values: Sequence[float] | Values, limit: float) -> float:
    """The same for the share of values above a limit; inf stands for a request that failed.

    Whether there is any correlation the values themselves show better than which of them are above. Where too
    few are above, or below, for its size to be seen among them, it is taken where twenty are: nearer to the
    middle values hang together no less.
    """
    array = np.asarray(values, dtype=np.float64)
    n, above = len(array), array > limit
    if n < FEWEST or not (_correlated(ranks(array)) or _correlated(above.astype(np.float64))):
        return 1.0
    bad = int(above.sum())
    if min(bad, n - bad) < FEWEST_BAD:
        rank = n - FEWEST_BAD if bad < FEWEST_BAD else FEWEST_BAD
        above = array > float(np.partition(array, rank - 1)[rank - 1])
    return 1 / _inflation(above.astype(np.float64))


def ranks(values: Values) -> Values:
    """Ranks from 0 to 1, equal values at their middle: no law of latencies is too heavy-tailed for them."""
    n, order = len(values), np.argsort(values)
    ordered = values[order]
    changes = ordered[1:] != ordered[:-1]
    first = np.flatnonzero(np.concatenate((np.ones(min(n, 1), dtype=bool), changes)))  # of equal ones
    after = np.append(first[1:], n)[: len(first)]
    ranked = np.empty(n)
    ranked[order] = np.repeat((first + after) / (2 * max(n, 1)), after - first)
    return ranked


def effective_share_pooled(sizes: Values, bad: Values) -> float:
    """The same for values of which request i has `sizes[i]`, `bad[i]` of them above the limit.

    By the long-run variance of what each request has too many of (the ratio estimator of cluster samples,
    Cochran 1977, 11.3). Where nothing or all is bad, values are worth as many as there are requests.
    """
    total, requests = float(sizes.sum()), len(sizes)
    share = float(bad.sum()) / total if total else 0.0
    independent = share * (1 - share) / total if total else 0.0
    if requests < FEWEST or independent <= 0:
        return min(1.0, requests / total) if total else 1.0
    excess = bad - share * sizes
    variance = max(long_run_variance(excess), float(excess.var())) * requests / total**2
    return min(1.0, independent / variance) if variance > 0 else 1.0


def lag_one(values: Values, variance: float) -> float:
    """The correlation of each value with the next."""
    centred = values - values.mean()
    return float((centred[1:] * centred[:-1]).mean()) / variance


def _batch(n: int) -> int:
    return max(1, math.isqrt(n))

"""Exact quantiles and binomial tails: what a sample says of a share of all requests, and how surely.

Of correlated requests n is what they are worth: `effective` is that over their number, as
`instruments.statistics.correlation` finds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from instruments.statistics.beta import log_above, log_below


def quantile(ordered: Sequence[float], p: float) -> float | None:
    """The smallest value with at least a share p of the sample at or below it; None for no sample.

    The inverse of the empirical distribution (Hyndman and Fan's type 1): always a value that was seen.
    """
    if not ordered:
        return None
    return ordered[_rank(len(ordered), p) - 1]


def quantile_interval(
    ordered: Sequence[float], p: float, confidence: float, effective: float = 1.0
) -> tuple[float, float] | None:
    """A two-sided interval for the true quantile from order statistics; None where n is too small.

    The number of values below the true p-quantile is binomial(n, p), whatever the distribution, so
    [x_(l), x_(u)] holds it with probability at least P(l <= B < u). Source: David and Nagaraja,
    Order Statistics, 3rd ed., 7.1. Each tail keeps (1 − confidence) / 2; what whole ranks leave unused of
    it on one side is used on the other, or the interval would be right too often. `effective` is the share
    of n that the values are worth: ranks are found for so many, and stretched over all.
    """
    n, tail = max(1, round(len(ordered) * effective)), (1 - confidence) / 2
    if not ordered or p**n > tail or (1 - p) ** n > tail:
        return None
    # l: the largest rank with P(B < l) <= tail. u: the smallest with P(B >= u) <= tail.
    low = _first(1, n, lambda rank: binomial_at_most(rank - 1, n, p) > tail) - 1
    high = _first(1, n, lambda rank: binomial_at_least(rank, n, p) <= tail)
    low, high = _narrowed(low, high, n, p, 1 - confidence)
    stretched = len(ordered) / n
    first = max(1, math.floor(low * stretched))
    return ordered[first - 1], ordered[min(math.ceil(high * stretched), len(ordered)) - 1]


def _narrowed(low: int, high: int, n: int, p: float, miss: float) -> tuple[int, int]:
    """Ranks moved inwards, one by one, for as long as both tails together stay within `miss`."""
    while low + 1 < high:
        below, above = binomial_at_most(low - 1, n, p), binomial_at_least(high, n, p)
        up, down = binomial_at_most(low, n, p) + above, below + binomial_at_least(high - 1, n, p)
        if min(up, down) > miss:
            break
        # The move that leaves less unused where both would do; the lower end where they are equal.
        upwards = down > miss or (up <= miss and up >= down * (1 - 1e-9))
        low, high = (low + 1, high) if upwards else (low, high - 1)
    return low, high


def share_interval(count: float, n: float, confidence: float) -> tuple[float, float] | None:
    """The exact (Clopper and Pearson 1934) interval for a share of which `count` of n were seen.

    Neither need be whole: of correlated requests both are what they are worth (Korn and Graubard 1998).
    """
    if n == 0:
        return None
    tail = math.log((1 - confidence) / 2)
    low = 0.0 if count <= 0 else _root(lambda share: log_below(share, count, n - count + 1) - tail)
    high = 1.0 if count >= n else _root(lambda share: tail - log_above(share, count + 1, n - count))
    return low, high


def binomial_at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) of a binomial(n, p)."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    if k > n * p:  # beyond the mean: the tail on the other side is the shorter sum
        return 1.0 - _tail(n - k - 1, n, 1 - p)
    return _tail(k, n, p)


def binomial_at_least(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial(n, p)."""
    return binomial_at_most(n - k, n, 1 - p)


def requests_needed(over: int, share: float, confidence: float) -> int:
    """The smallest n at which `over` requests above the limit still prove that fewer than `share` are.

    The early-stopping rule of MLPerf Inference: for p99 at 95 % and none over, 299.
    """
    low, high = over + 1, over + 2
    while binomial_at_most(over, high, share) > 1 - confidence:
        low, high = high, high * 2
    return _first(low, high, lambda n: binomial_at_most(over, n, share) <= 1 - confidence)


def _rank(n: int, p: float) -> int:
    # 0.95 * 20 is 19.000000000000004 in floats: without the guard the rank would be one too high.
    return min(n, max(1, math.ceil(n * p - 1e-9)))


def _tail(k: int, n: int, p: float) -> float:
    """P(X <= k) for k at or below the mean: from k downwards, until a term no longer counts.

    There the terms shrink faster and faster, so that a few standard deviations of them are enough
    for any n; the first comes from its logarithm, so that it does not underflow before it must.
    """
    if p <= 0.0 or p >= 1.0:
        return float(p <= 0.0)
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p))
    total, odds = 0.0, (1 - p) / p
    while term > total * 1e-18:
        total += term
        term *= k * odds / (n - k + 1)
        k -= 1
    return min(1.0, total)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest integer in [low, high] for which a monotone predicate holds; high + 1 if none."""
    high += 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of [0, 1] crosses zero, to 1e-12."""
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2

"""Comparing two arms by pairs of blocks: is B slower than A? Decided at any look, with what is still missing.

Everything is a natural logarithm of B over A: 0.0488 is 5 % slower. A pair's two blocks run in random order,
so that D_j = ln q(B_j) − ln q(A_j) is symmetric about 0 when A and B do not differ, whatever the law of
latencies and however the machine drifts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from instruments.statistics.quantiles import binomial_at_most
from instruments.statistics.sequence import FEWEST, Values, half_width, interval, moments, student_quantile

NEVER = 1_000_000  # pairs: what would need more is not told in pairs


class Change(StrEnum):
    """What became of B beside A."""

    WORSE = "WORSE"
    EQUIVALENT = "EQUIVALENT"
    BETTER = "BETTER"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class CompareRule:
    """When a comparison is decided.

    `false_alarm` bounds the probability that WORSE is said, at any look, of a B that is not worse than A by
    more than `margin`; the same bound holds for BETTER, and for EQUIVALENT of a B that is not.
    `tolerance` and `margin` are ratios less 1: 0.05 is from 1/1.05 to 1.05 times A. Without a tolerance
    nothing is EQUIVALENT. `pairs_most` is the budget, `tuned_at` where the interval is narrowest (default:
    half the budget).
    """

    false_alarm: float = 0.01
    tolerance: float | None = 0.05
    margin: float = 0.0
    pairs_least: int = FEWEST
    pairs_most: int = 40
    tuned_at: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm < 0.5:
            raise ValueError(f"false_alarm lies between 0 and 0.5, got {self.false_alarm}")
        if self.tolerance is not None and not 0 < self.tolerance < math.inf:
            raise ValueError(f"tolerance is above 0, or None, got {self.tolerance}")
        if not 0 <= self.margin < math.inf:
            raise ValueError(f"margin is 0 or more, got {self.margin}")
        if not FEWEST <= self.pairs_least <= self.pairs_most:
            raise ValueError(
                f"{FEWEST} <= pairs_least <= pairs_most, got {self.pairs_least} and {self.pairs_most}"
            )

    @property
    def error(self) -> float:
        """Of the two-sided interval. Each side has half of it: symmetric values leave it as often on both."""
        return 2 * self.false_alarm

    @property
    def within(self) -> float | None:
        """The tolerance as a logarithm."""
        return None if self.tolerance is None else math.log1p(self.tolerance)

    @property
    def beyond(self) -> float:
        """The margin as a logarithm."""
        return math.log1p(self.margin)

    @property
    def narrowest_at(self) -> int:
        return self.tuned_at or max(FEWEST, self.pairs_most // 2)


@dataclass(frozen=True, slots=True)
class ComparisonState:
    """One look: the mean of the log ratios with its interval, and what it means."""

    change: Change
    pairs: int
    mean: float
    low: float
    high: float
    deviation: float = math.nan  # standard deviation of a pair's difference
    error: float = math.nan  # probability that the interval misses at any look

    @property
    def ratio(self) -> tuple[float, float, float]:
        """B over A with its interval: value, low, high."""
        return math.exp(self.mean), math.exp(self.low), _exp(self.high)


def decide_pairs(differences: Values, rule: CompareRule | None = None) -> ComparisonState:
    """One look at all pairs so far. Valid after every pair: stop at the first that is not INCONCLUSIVE.

    All differences are finite: a block without a finite quantile is no number, and the caller's to judge.
    """
    rule = rule or CompareRule()
    n = len(differences)
    if n < 2:
        mean = float(differences[0]) if n else math.nan
        return ComparisonState(Change.INCONCLUSIVE, n, mean, -math.inf, math.inf, error=rule.error)
    mean, deviation = moments(differences)
    low, high = interval(differences, rule.error, tuned_at=rule.narrowest_at)
    enough = n >= rule.pairs_least
    change = decide_interval(low, high, rule.within, rule.beyond) if enough else Change.INCONCLUSIVE
    return ComparisonState(change, n, mean, low, high, deviation, rule.error)


def decide_interval(low: float, high: float, within: float | None, beyond: float) -> Change:
    """What an interval of a difference means: EQUIVALENT within ± `within`, else WORSE above `beyond`.

    The tolerance comes first: what is worse by less than that is equivalent.
    """
    if within is not None and max(-low, high) < within:
        return Change.EQUIVALENT
    if low > beyond:
        return Change.WORSE
    return Change.BETTER if high < -beyond else Change.INCONCLUSIVE


def pairs_more(state: ComparisonState, rule: CompareRule) -> int | None:
    """How many further pairs would likely decide, if mean and deviation stay; None where nobody can say."""
    if not math.isfinite(state.deviation):
        return None
    needed = values_needed(
        state.mean,
        lambda n: half_width(state.deviation, n, rule.error, tuned_at=rule.narrowest_at),
        (rule.within, rule.beyond),
        NEVER,
    )
    return None if needed is None else max(1, needed - state.pairs)


def values_needed(
    mean: float, half: Callable[[int], float], bounds: tuple[float | None, float], most: int
) -> int | None:
    """The smallest n whose interval, mean ± half(n), decides within `bounds`; None where `most` do not.

    `half` falls with n.
    """

    def decides(n: int) -> bool:
        low, high = mean - half(n), mean + half(n)
        return decide_interval(low, high, *bounds) is not Change.INCONCLUSIVE

    if not decides(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def planned_pairs(deviation: float, regression: float, power: float, rule: CompareRule) -> int:
    """The `pairs_most` at which a regression is found with this power, of pairs with this standard deviation.

    From the last look alone; the looks before it can only add to it. `regression` is a ratio less 1. About
    twice what a test of fixed size needs, while the mean number of pairs that it takes is about as many as
    that needs. ValueError for a regression that the rule's margin allows.
    """
    effect = math.log1p(regression) - rule.beyond
    if effect <= 0:
        raise ValueError(f"a regression of {regression:g} lies within the margin of {rule.margin:g}")
    z = NormalDist().inv_cdf(power)
    pairs = rule.pairs_least
    while True:
        tuned_at = rule.tuned_at or max(FEWEST, pairs // 2)
        half = half_width(deviation, pairs, rule.error, tuned_at=tuned_at)
        if effect - half >= z * deviation / math.sqrt(pairs):
            return pairs
        pairs += max(1, pairs // 50)


def fixed_size_requests(sigma: float, regression: float, power: float, alpha: float) -> int:
    """Requests per arm of a one-sided test of fixed size (z) of a difference of two log quantiles.

    n = 2 σ² (z_{1−alpha} + z_power)² / ln(1 + regression)². `sigma` is what one request brings to the log
    quantile's standard deviation: σ/√n is that of n requests. For a p-quantile of a lognormal law with
    log-deviation s it is √(p(1 − p)) / φ(z_p) · s: for the median √(π/2) · s.
    """
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)
    return math.ceil(2 * (sigma * z / math.log1p(regression)) ** 2)


def decide_failures(more_in_b: int, more_in_a: int, error: float) -> bool:
    """Whether B fails more than A: of pairs in which they differ, in so many B had more failures, or A.

    Where nothing differs each such pair is a fair coin, however failures clump within a block: the order is
    random. The evidence is the coin's likelihood averaged over all shares above one half, over that of the
    fair one: its mean is 1, so it reaches 1/error at any look with probability at most `error` (Ville).
    """
    k, n = more_in_b, more_in_b + more_in_a
    # 2 ∫ p^k (1 − p)^(n−k) dp over (1/2, 1), by 2^n: a beta law's tail is a binomial one.
    choose = math.lgamma(n + 2) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    upper = binomial_at_most(k, n + 1, 0.5)
    return upper > 0 and (n + 1) * math.log(2) - choose + math.log(upper) >= -math.log(error)


@dataclass(frozen=True, slots=True)
class RunValue:
    """What one run says: a value (a log quantile, or a share), and its standard error within the run."""

    value: float
    error: float


def difference_of_runs(
    reference: Sequence[RunValue],
    candidate: Sequence[RunValue],
    error: float,
    *,
    groups: Sequence[Sequence[float]] = (),
) -> tuple[float, float, float]:
    """How much higher a candidate's runs are than a reference's: difference, low, high, each end at `error`.

    Runs are the units: two runs of one system differ by more than chance within a run explains, and requests
    of one run are not independent. The variance between runs is pooled over both sides and over `groups`
    (values of further sets of equal runs), but is at least what the reference's requests leave open; a
    candidate with fewer requests has as much more. Student's t, with the degrees of freedom of the pool;
    the interval is unbounded where no set has two runs.
    """
    sets = [[one.value for one in reference], [one.value for one in candidate], *groups]
    degrees = sum(len(values) - 1 for values in sets if values)
    difference = _mean(sets[1]) - _mean(sets[0])
    if degrees < 1:
        return difference, -math.inf, math.inf
    squares = sum((value - _mean(values)) ** 2 for values in sets if values for value in values)
    within, its = (_mean([one.error**2 for one in runs]) for runs in (reference, candidate))
    between = max(squares / degrees, within)
    variance = between / len(reference) + (between + max(0.0, its - within)) / len(candidate)
    half = student_quantile(1 - error, degrees) * math.sqrt(variance)
    return difference, difference - half, difference + half


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)

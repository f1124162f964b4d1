"""Drift: whether a series of runs moved, slowly or by a step, with a stated rate of false alarms.

Two tests share the rate in halves, so that together they keep it. Both ask only that runs of an unchanged
system may be exchanged for each other; they know no law of the values, so one night on which the machine
hung is no drift. Nights that hang together (a slow week of a shared machine) are a drift to them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import combinations, count
from statistics import NormalDist, median

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM = 0.05
RUNS_LEAST = 6  # fewer, and not even six runs in order would be evidence enough beside two tests
STEP_LEAST = 3  # runs on either side: one bad night is no step
_EXACT_UP_TO = 60  # runs; beyond, the normal law is right to three digits
_DRAWS = 9_999
_AT_ONCE = 500
_SEED = 20_080


class Move(StrEnum):
    """What became of a series. `MOVED`: where neither direction is the worse one."""

    WORSE = "WORSE"
    BETTER = "BETTER"
    MOVED = "MOVED"
    STEADY = "STEADY"
    NOT_ENOUGH = "NOT ENOUGH"


@dataclass(frozen=True, slots=True)
class Slow:
    """Mann and Kendall's test: `s` rises less falls over all pairs of runs, `moved` from first to last run.

    `moved` is Theil and Sen's slope, the median of all pairs' slopes, times the runs between.
    """

    s: int
    p: float
    moved: float


@dataclass(frozen=True, slots=True)
class Step:
    """The likeliest step: `at` is the first run after it, `before` and `after` are the means around it."""

    at: int
    before: float
    after: float
    p: float


@dataclass(frozen=True, slots=True)
class Drift:
    """What the tests say of a series; both None where there were too few runs."""

    move: Move
    slow: Slow | None = None
    step: Step | None = None
    level: float = FALSE_ALARM / 2  # of either test

    @property
    def is_step(self) -> bool:
        """Whether a step was found; it also tells a slow move's direction, so that it is told first."""
        return self.step is not None and self.step.p <= self.level

    @property
    def is_slow(self) -> bool:
        return self.slow is not None and self.slow.p <= self.level


def drift(values: Sequence[float], worse: int, *, false_alarm: float = FALSE_ALARM) -> Drift:
    """Judge a series in the order of its runs. `worse`: 1 where more is worse, −1 where less is, 0 neither.

    Where it moved both ways, for the worse counts.
    """
    level = false_alarm / 2
    if len(values) < runs_least(level):
        return Drift(Move.NOT_ENOUGH, level=level)
    slow, step = mann_kendall(values), find_step(values, level)
    ways = set()
    if slow.p <= level:
        ways.add(int(math.copysign(1, slow.s)))
    if step is not None and step.p <= level:
        ways.add(int(math.copysign(1, step.after - step.before)))
    move = Move.STEADY
    if ways:
        move = Move.MOVED if not worse else Move.WORSE if worse in ways else Move.BETTER
    return Drift(move, slow, step, level)


def runs_least(level: float = FALSE_ALARM / 2) -> int:
    """How many runs in a row, each above the one before, are evidence at all: 2 of n! orders are so."""
    return next(n for n in count(RUNS_LEAST) if 2 / math.factorial(n) <= level)


def step_least(level: float = FALSE_ALARM / 2) -> int:
    """From how many runs on a step can be told: 2 of all ways to choose three of them are as extreme."""
    return next(n for n in count(2 * STEP_LEAST) if 2 / math.comb(n, STEP_LEAST) <= level)


def mann_kendall(values: Sequence[float]) -> Slow:
    """Mann 1945, Kendall 1975: exact for up to 60 values that all differ, else by the normal law.

    The variance is corrected for ties, and the normal law for continuity. `p` is two-sided.
    """
    n = len(values)
    pairs = list(combinations(range(n), 2))
    s = sum((values[b] > values[a]) - (values[b] < values[a]) for a, b in pairs)
    moved = median((values[b] - values[a]) / (b - a) for a, b in pairs) * (n - 1) if pairs else 0.0
    ties = [t for t in Counter(values).values() if t > 1]
    if not ties and n <= _EXACT_UP_TO:
        return Slow(s, _exact(n, abs(s)), moved)
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    z = max(abs(s) - 1, 0) / math.sqrt(variance) if variance > 0 else 0.0
    return Slow(s, min(1.0, 2 * NormalDist().cdf(-z)), moved)


@lru_cache(maxsize=256)
def _exact(n: int, s: int) -> float:
    """P(|S| >= s): S is n(n − 1)/2 less twice the inversions, whose counts are Mahonian numbers."""
    counts = [1]
    for size in range(2, n + 1):
        # Each insertion adds 0 to size − 1 inversions: a running sum of so many of the counts before.
        sums = np.concatenate(([0], np.cumsum(np.array(counts, dtype=object))))
        longest = len(counts) + size - 1
        counts = [sums[min(i + 1, len(counts))] - sums[max(0, i + 1 - size)] for i in range(longest)]
    total = n * (n - 1) // 2
    extreme = sum(orders for inversions, orders in enumerate(counts) if abs(total - 2 * inversions) >= s)
    return float(extreme / math.factorial(n)) if n < 20 else float(_ratio(extreme, n))


def _ratio(extreme: int, n: int) -> float:
    """Of whole numbers too large for a float."""
    return math.exp(math.log(extreme) - math.lgamma(n + 1)) if extreme else 0.0


def find_step(values: Sequence[float], level: float = FALSE_ALARM / 2) -> Step | None:
    """The largest difference of means between first and last runs, each three at least, and its rarity.

    Differences are weighed by √(k(n − k)/n), as in the likelihood ratio test of one change of a mean
    (Hawkins 1977). `p` is two-sided: how often a random order of the same values has one as large, of 9,999
    orders and the one seen, drawn by a fixed seed; fewer where that is seen to be above `level`. Where
    nothing changed it is `level` or less with that probability at most, whatever the law of the values.
    """
    n = len(values)
    if n < 2 * STEP_LEAST:
        return None
    series = np.asarray(values, dtype=np.float64)
    weighed = _weighed(series - series.mean())
    at = int(weighed.argmax()) + STEP_LEAST
    p = _rarity(series - series.mean(), float(weighed.max()), level)
    return Step(at, float(series[:at].mean()), float(series[at:].mean()), p)


def _rarity(centred: NDArray[np.float64], largest: float, level: float) -> float:
    """The share of orders with as large a difference. Orders are drawn until p cannot be `level` or less."""
    dice = np.random.default_rng(_SEED)
    most = max(_DRAWS, math.ceil(5 / level))
    drawn = as_large = 0
    while drawn < most and 1 + as_large <= level * (1 + most):
        orders = dice.permuted(np.tile(centred, (min(_AT_ONCE, most - drawn), 1)), axis=1)
        others = _weighed(orders).max(axis=1)
        as_large += int((others >= largest * (1 - 1e-9)).sum())
        drawn += len(orders)
    return (1 + as_large) / (1 + drawn)


def _weighed(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row, for each k that leaves enough runs on both sides, the weighed difference of means.

    With c the sum of the first k of centred values it is c·n/(k(n − k)), and weighed c·√(n/(k(n − k))).
    """
    n = centred.shape[-1]
    k = np.arange(STEP_LEAST, n - STEP_LEAST + 1)
    sums = np.cumsum(centred, axis=-1)[..., k - 1]
    return np.asarray(np.abs(sums) * np.sqrt(n / (k * (n - k))))

"""Regression: two endpoints in turn, B as fast as A or 5 % slower in the median, judged pair by pair."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gate.figures import Figure, Share, Size, at_least, at_most
from benchmarks.gate.laws import Autocorrelated, Law
from benchmarks.gate.trials import Trial
from instruments.slo.comparison import Block, judge_pairs
from instruments.statistics.comparison import Change, CompareRule, fixed_size_requests, planned_pairs
from instruments.statistics.quantiles import quantile

SLOWER = 0.05
FALSE_ALARM, POWER = 0.01, 0.95
PLANNED_POWER = 0.98  # of the budget: some above what is wanted, for a deviation that is only asymptotic
REQUESTS = 250  # in a block of one endpoint
LETTER = {Change.WORSE: "W", Change.EQUIVALENT: "E", Change.BETTER: "B", Change.INCONCLUSIVE: "I"}


@dataclass(frozen=True, slots=True)
class Interleaved:
    """Pairs of blocks until it is decided or the budget is spent; which of the two is first is drawn.

    `drift`: the machine under both is slower by so much at the budget's end than at its beginning.
    """

    law: Law
    slower: float
    drift: float = 0.0

    @property
    def title(self) -> str:
        return self.law.name + (f", machine {self.drift:+.0%} meanwhile" if self.drift else "")

    @property
    def name(self) -> str:
        return f"pairs {self.title} {self.slower:g}"

    @property
    def rule(self) -> CompareRule:
        wanted = CompareRule(FALSE_ALARM, tolerance=SLOWER)
        deviation = math.sqrt(2 / REQUESTS) * spread(self.law)
        most = planned_pairs(deviation, SLOWER, PLANNED_POWER, wanted)
        return CompareRule(FALSE_ALARM, tolerance=SLOWER, pairs_most=most)

    def once(self, random: np.random.Generator, repetition: int) -> Trial:
        rule, draw = self.rule, self.law.start(random)
        pairs: list[tuple[Block, Block]] = []
        change = Change.INCONCLUSIVE
        while change is Change.INCONCLUSIVE and len(pairs) < rule.pairs_most:
            a_first = random.random() < 0.5
            first, second = (
                np.sort(draw(REQUESTS)) * (1 + self.drift * (2 * len(pairs) + half) / (2 * rule.pairs_most))
                for half in (0, 1)
            )
            a, b = (first, second) if a_first else (second, first)
            pairs.append((_block("A", a), _block("B", b * (1 + self.slower))))
            change = judge_pairs(pairs, rule=rule).change
        return LETTER[change], (2 * REQUESTS * len(pairs),)


def spread(law: Law) -> float:
    """The standard deviation that one request brings to the logarithm of the median.

    √(p(1 − p)) / (x f(x)) at the median x, the density from the law's own share; of correlated requests times
    the root of 1 + 2 Σ corr(over now, over k later), which is (2/π) asin(r^k) of a Gaussian AR(1).
    """
    x, step = law.quantile(0.5), 1e-5
    slope = (law.share_over(x * (1 - step)) - law.share_over(x * (1 + step))) / (2 * step)
    alone = 0.5 / slope
    if not isinstance(law, Autocorrelated):
        return alone
    hang = sum(2 / math.pi * math.asin(law.of_normal**k) for k in range(1, 200))
    return alone * math.sqrt(1 + 2 * hang)


def regression(experiment: Interleaved, trials: Sequence[Trial]) -> Iterator[Figure]:
    letters = "".join(letter for letter, _ in trials)
    requests = [taken for _, (taken,) in trials]
    fixed = 2 * fixed_size_requests(spread(experiment.law), SLOWER, POWER, FALSE_ALARM)
    section, row = "regression of the median TTFT by interleaved pairs", experiment.title
    worse, equal, n = letters.count("W"), letters.count("E"), len(letters)
    if experiment.slower:
        yield Share(section, "5 % slower: WORSE", worse, n, at_least(POWER), row)
        yield Share(section, "5 % slower: EQUIVALENT", equal, n, at_most(FALSE_ALARM), row)
        yield Size.taken(section, "5 % slower: requests to both", requests, fixed, row)
    else:
        yield Share(section, "no slower: WORSE", worse, n, at_most(FALSE_ALARM), row)
        yield Share(section, "no slower: EQUIVALENT", equal, n, row=row)
        yield Size.taken(section, "no slower: requests to both", requests, row=row)


def _block(run: str, ordered: np.ndarray) -> Block:
    value = quantile(ordered.tolist(), 0.5)
    assert value is not None
    return Block(run, value, len(ordered), 0)

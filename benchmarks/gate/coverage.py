"""Coverage: how often the intervals that the product states hold the truth, on either side of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from benchmarks.gate.figures import Figure, Goal, Share
from benchmarks.gate.laws import CORRELATED, Law
from benchmarks.gate.trials import Trial
from instruments.statistics.correlation import effective_share, effective_share_of_bad
from instruments.statistics.quantiles import quantile, quantile_interval, share_interval

NOMINAL = 0.95
INDEPENDENT_WITHIN, CORRELATED_WITHIN = 0.01, 0.03
QUANTILES = (0.5, 0.95, 0.99)
SELDOM = 0.1  # of the repetitions without an interval


@dataclass(frozen=True, slots=True)
class Intervals:
    """n requests, and on them the interval of each quantile and, with `shares`, of the share over each.

    Which of independent requests are over a true quantile is the same tossing of coins for every law.

    A letter each: W where the interval holds the truth, L where the truth lies below it, H above, N none.
    """

    law: Law
    n: int
    shares: bool = True

    @property
    def name(self) -> str:
        return f"coverage {self.law.name} {self.n}"

    def once(self, random: np.random.Generator, repetition: int) -> Trial:
        values = self.law.start(random)(self.n)
        ordered = np.sort(values).tolist()
        letters = [self._of_quantile(values, ordered, p) for p in QUANTILES]
        if self.shares:
            letters += [self._of_share(values, p) for p in QUANTILES]
        return "".join(letters), (self.n,)

    def _of_quantile(self, values: np.ndarray, ordered: Sequence[float], p: float) -> str:
        """As instruments.slo.of_requests states it of a run of a planned size."""
        middle = quantile(ordered, p)
        assert middle is not None
        worth = effective_share_of_bad(values, middle)
        return letter(quantile_interval(ordered, p, NOMINAL, worth), self.law.quantile(p))

    def _of_share(self, values: np.ndarray, p: float) -> str:
        flags = (values > self.law.quantile(p)).astype(np.float64)
        worth = effective_share(flags)
        return letter(share_interval(float(flags.sum()) * worth, self.n * worth, NOMINAL), 1 - p)


def letter(interval: tuple[float, float] | None, truth: float) -> str:
    if interval is None:
        return "N"
    return "L" if truth < interval[0] else "H" if truth > interval[1] else "W"


def coverage(experiment: Intervals, trials: Sequence[Trial]) -> Iterator[Figure]:
    """Share of repetitions whose interval holds the truth, and on which side the others miss."""
    within = CORRELATED_WITHIN if experiment.law == CORRELATED else INDEPENDENT_WITHIN
    goal = Goal(round(NOMINAL - within, 6), round(NOMINAL + within, 6))
    stated_of = ("quantile", "share") if experiment.shares else ("quantile",)
    for one, (what, p) in enumerate(product(stated_of, QUANTILES)):
        letters = "".join(trial[0][one] for trial in trials)
        section = f"coverage of the stated 95 % intervals of a {what}"
        stated = len(letters) - letters.count("N")
        name = f"{experiment.law.name}, n = {experiment.n:,}, {_named(what, p)}"
        # Where n seldom allows an interval, those that state one took their requests for more than they are.
        allowed = stated >= (1 - SELDOM) * len(letters)
        yield Share(section, "coverage", letters.count("W"), stated, goal if allowed else None, name)
        yield Share(section, "truth below", letters.count("L"), stated, row=name)
        yield Share(section, "truth above", letters.count("H"), stated, row=name)
        yield Share(section, "none stated", letters.count("N"), len(letters), row=name)


def _named(what: str, p: float) -> str:
    return f"p{100 * p:g}" if what == "quantile" else f"{100 * (1 - p):.3g} % over"

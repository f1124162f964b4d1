"""The plan of one benchmark: which experiments, how many repetitions of each, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from benchmarks.gate import gates
from benchmarks.gate.coverage import Intervals, coverage
from benchmarks.gate.figures import Figure
from benchmarks.gate.knee import Search, capacity
from benchmarks.gate.laws import CORRELATED, INDEPENDENT, Lognormal
from benchmarks.gate.regression import SLOWER, Interleaved, regression
from benchmarks.gate.trials import Experiment, Trial

REPETITIONS, QUICK = 2_000, 100  # whole gates of an unchanged system; all else in proportion
LAWS = (*INDEPENDENT, CORRELATED)
DRIFTING_MACHINE = 0.5

RISES = (*gates.FAST_RISES, *gates.SLOW_RISES)
INTERVALS = [
    Intervals(law, n, law in (LAWS[0], CORRELATED)) for law, n in product(LAWS, (100, 1_000, 10_000))
]
PAIRS = [
    Interleaved(law, slower, drift)
    for law, drift in (*((law, 0.0) for law in LAWS), (Lognormal(), DRIFTING_MACHINE))
    for slower in (0.0, SLOWER)
]
SEARCH = Search()


def experiments(repetitions: int) -> list[tuple[Experiment, int]]:
    """Every experiment with its number of repetitions."""
    n = max(1, repetitions)
    return [
        (gates.UNCHANGED, n),
        (gates.ONE_OUTSIDE, 2 * n),
        (gates.AT_LIMIT, max(1, n // 4)),
        *((rise, max(1, n // 2)) for rise in RISES),
        *((one, 2 * n if one.n > 1_000 else 4 * n) for one in INTERVALS),
        *((pairs, 2 * n) for pairs in PAIRS),
        (SEARCH, max(1, n // 2)),
    ]


def figures(trials: Mapping[str, Sequence[Trial]]) -> list[Figure]:
    """All figures, in the order of the page."""
    found = [
        *gates.unchanged(trials[gates.UNCHANGED.name]),
        *gates.one_outside(trials[gates.ONE_OUTSIDE.name]),
        *gates.at_limit(trials[gates.AT_LIMIT.name]),
    ]
    for rise in RISES:
        found += gates.never_steady(rise, trials[rise.name])
    of_intervals = [figure for one in INTERVALS for figure in coverage(one, trials[one.name])]
    found += sorted(of_intervals, key=lambda figure: figure.section)
    found += [figure for pairs in PAIRS for figure in regression(pairs, trials[pairs.name])]
    return [*found, *capacity(trials[SEARCH.name])]

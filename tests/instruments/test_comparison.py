"""Pairs of blocks: what an interval means, how often it is wrong, how soon it decides; runs beside runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from instruments.statistics.comparison import (
    Change,
    CompareRule,
    RunValue,
    decide_failures,
    decide_interval,
    decide_pairs,
    difference_of_runs,
    fixed_size_requests,
    pairs_more,
    planned_pairs,
)
from instruments.statistics.sequence import half_width

FIVE = math.log(1.05)


@pytest.mark.parametrize(
    ("low", "high", "change"),
    [
        (-0.01, 0.01, Change.EQUIVALENT),
        (0.01, 0.04, Change.EQUIVALENT),  # slower, and by less than is tolerated
        (0.01, 0.06, Change.WORSE),
        (-0.06, -0.01, Change.BETTER),
        (-0.01, 0.06, Change.INCONCLUSIVE),
        (-math.inf, math.inf, Change.INCONCLUSIVE),
    ],
)
def test_what_an_interval_means(low: float, high: float, change: Change) -> None:
    assert decide_interval(low, high, FIVE, 0.0) is change


def test_a_margin_is_allowed_on_both_sides_and_without_a_tolerance_nothing_is_equivalent() -> None:
    assert decide_interval(0.01, 0.06, None, FIVE) is Change.INCONCLUSIVE
    assert decide_interval(0.05, 0.09, None, FIVE) is Change.WORSE
    assert decide_interval(-0.09, -0.05, None, FIVE) is Change.BETTER
    assert decide_interval(-0.001, 0.001, None, 0.0) is Change.INCONCLUSIVE


def test_fewer_than_eight_pairs_decide_nothing() -> None:
    differences = [0.5, 0.51, 0.49, 0.5, 0.52, 0.48, 0.5, 0.5]
    assert decide_pairs(differences[:7]).change is Change.INCONCLUSIVE
    state = decide_pairs(differences)
    assert state.change is Change.WORSE
    assert state.ratio[0] == pytest.approx(math.exp(0.5))
    assert decide_pairs([-one for one in differences]).change is Change.BETTER
    assert decide_pairs([]).pairs == 0
    assert decide_pairs([0.3]).mean == 0.3


def test_a_rule_that_cannot_be_is_refused() -> None:
    for wrong in (
        {"false_alarm": 0.0},
        {"false_alarm": 0.5},
        {"tolerance": 0.0},
        {"margin": -0.1},
        {"pairs_least": 7},
        {"pairs_most": 7},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong)).partition("_")[0]):
            CompareRule(**wrong)


Outcome = dict[Change, float]


def simulated(mean: float, deviation: float, rule: CompareRule, repetitions: int) -> tuple[Outcome, float]:
    """How often sequential comparisons end how, and how many pairs they take in the mean."""
    pairs = rule.pairs_most
    drawn = np.random.default_rng(11).normal(mean, deviation, (repetitions, pairs))
    n = np.arange(1, pairs + 1)
    centre = np.cumsum(drawn, axis=1) / n
    spread = np.cumsum(drawn**2, axis=1) - n * centre**2
    width = np.array(
        [half_width(1.0, k, rule.error, tuned_at=rule.narrowest_at) for k in range(1, pairs + 1)]
    )
    with np.errstate(invalid="ignore"):
        half = np.sqrt(np.maximum(spread, 0) / np.maximum(n - 1, 1)) * width
    half[:, : rule.pairs_least - 1] = np.inf
    low, high = centre - half, centre + half
    equal = np.maximum(-low, high) < (rule.within or 0)
    decided = equal | (low > 0) | (high < 0)
    last = np.where(decided.any(axis=1), decided.argmax(axis=1), pairs - 1)
    ends: dict[Change, int] = dict.fromkeys(Change, 0)
    for number, at in enumerate(last):
        ends[decide_pairs(drawn[number, : at + 1], rule).change] += 1
    return {change: count / repetitions for change, count in ends.items()}, float(last.mean() + 1)


@pytest.mark.parametrize("deviation", [0.05, 0.15])
def test_a_regression_of_five_percent_is_found_and_an_equal_endpoint_is_not_called_worse(
    deviation: float,
) -> None:
    """The numbers that the issue asks for: 95 % power at 1 % false alarm."""
    pairs = planned_pairs(deviation, 0.05, 0.95, CompareRule())
    rule = CompareRule(pairs_most=pairs)
    worse, taken = simulated(FIVE, deviation, rule, 4000)
    assert worse[Change.WORSE] >= 0.95
    assert worse[Change.EQUIVALENT] <= 0.01
    equal, _ = simulated(0.0, deviation, rule, 4000)
    assert equal[Change.WORSE] <= 0.01
    assert equal[Change.BETTER] <= 0.01
    assert equal[Change.EQUIVALENT] >= 0.9
    # A test of fixed size takes (2.326 + 1.645)² (deviation / ln 1.05)² pairs, always.
    fixed = 15.77 * (deviation / FIVE) ** 2
    assert pairs < 2.5 * fixed
    assert taken < 1.1 * fixed


def test_how_many_requests_a_test_of_fixed_size_takes() -> None:
    # Per arm 2 · (π/2 · 0.5²) · (2.3263 + 1.6449)² / 0.04879² for the median of a lognormal law.
    assert fixed_size_requests(math.sqrt(math.pi / 2) * 0.5, 0.05, 0.95, 0.01) == 5204
    rng = np.random.default_rng(5)
    n = fixed_size_requests(math.sqrt(math.pi / 2) * 0.2, 0.05, 0.95, 0.01)
    deviation = math.sqrt(2 * math.pi / 2 / n) * 0.2

    def medians(repetitions: int) -> NDArray[np.float64]:
        return np.median(rng.normal(0, 0.2, (repetitions, n)), axis=1)

    found = (FIVE + medians(2000) - medians(2000)) / deviation > 2.3263
    assert found.mean() == pytest.approx(0.95, abs=0.02)


def test_how_many_more_pairs_would_decide() -> None:
    rule = CompareRule(pairs_most=200)
    differences = [0.02 + 0.1 * (-1) ** number for number in range(20)]
    state = decide_pairs(differences, rule)
    assert state.change is Change.INCONCLUSIVE
    more = pairs_more(state, rule)
    assert more is not None

    def later(n: int) -> Change:
        half = half_width(state.deviation, n, rule.error, tuned_at=rule.narrowest_at)
        return decide_interval(state.mean - half, state.mean + half, FIVE, 0.0)

    assert later(20 + more) is not Change.INCONCLUSIVE
    assert later(20 + more - 1) is Change.INCONCLUSIVE
    assert pairs_more(decide_pairs([0.1]), rule) is None


def test_failures_are_a_fair_coins_tosses_where_nothing_differs() -> None:
    # Nine of nine: 2^10 / 10 · (1 − 2^−10) = 102.3, eight of eight: 2^9 / 9 · (1 − 2^−9) = 56.8.
    assert decide_failures(9, 0, 0.01)
    assert not decide_failures(8, 0, 0.01)
    assert not decide_failures(0, 0, 0.01)
    assert not decide_failures(0, 3000, 0.01)
    assert not decide_failures(50, 50, 0.01)


def test_a_fair_coin_is_ever_called_unfair_with_less_than_the_error() -> None:
    """Exactly, over all ways that 400 tosses can go."""
    error, alarmed = 0.01, 0.0
    ways = {0: 1.0}
    for n in range(1, 401):
        ways = {
            k: (ways.get(k - 1, 0.0) + ways.get(k, 0.0)) / 2 for k in range(n + 1) if {k, k - 1} & set(ways)
        }
        for k in [k for k in ways if decide_failures(k, n - k, error)]:
            alarmed += ways.pop(k)
    assert 0.001 < alarmed <= error


def test_runs_beside_runs_by_hand() -> None:
    """Means 0 and 0.1, squares 0.02 + 0.02 over 2 + 2 degrees, Student's 99 % of 4: 3.747."""
    reference = [RunValue(value, 0.0) for value in (-0.1, 0.0, 0.1)]
    candidate = [RunValue(value, 0.0) for value in (0.0, 0.1, 0.2)]
    half = 3.747 * math.sqrt(0.01 * (1 / 3 + 1 / 3))
    found = difference_of_runs(reference, candidate, 0.01)
    assert found == pytest.approx((0.1, 0.1 - half, 0.1 + half), abs=1e-3)


def test_what_requests_leave_open_is_the_least_that_runs_differ_by() -> None:
    """Runs that came out alike by luck: 0.05² of each is still there, and 0.1² of a smaller candidate."""
    reference = [RunValue(0.0, 0.05)] * 3
    candidate = [RunValue(0.2, 0.1)]
    half = 6.965 * math.sqrt(0.05**2 / 3 + 0.1**2)  # Student's 99 % of 2 degrees
    assert difference_of_runs(reference, candidate, 0.01)[1:] == pytest.approx(
        (0.2 - half, 0.2 + half), abs=1e-3
    )


def test_sets_without_two_runs_know_nothing_of_their_spread() -> None:
    one = [RunValue(0.0, 0.01)]
    assert difference_of_runs(one, one, 0.01) == (0.0, -math.inf, math.inf)
    # Another set of equal runs tells it: values 0 and 0.02, so a variance of 0.0002.
    half = 31.82 * math.sqrt(0.0002 * 2)  # Student's 99 % of 1 degree
    found = difference_of_runs(one, one, 0.01, groups=[[0.0, 0.02]])
    assert found == pytest.approx((0.0, -half, half), abs=1e-3)

"""Differences of two measured values: published numbers, numbers by hand, and coverage under known laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from instruments.statistics.difference import Estimate, difference
from instruments.statistics.quantiles import quantile, quantile_interval

RUNS = 600
# Of 600 intervals that hold the truth in 95 %, fewer than 555 do in less than 1 of 1,000 experiments:
# 600 · 0.95 = 570, and three standard deviations are 3 · √(600 · 0.95 · 0.05) = 16.
FEWEST = 554


def wilson(bad: int, n: int) -> Estimate:
    z = 1.959963985
    share = bad / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, centre - half, centre + half)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table II, method 10: 56/70 − 48/80, and 9/10 − 3/10.
        (wilson(48, 80), wilson(56, 70), (0.2, 0.0524, 0.3339)),
        (wilson(3, 10), wilson(9, 10), (0.6, 0.1705, 0.8090)),
    ],
)
def test_of_two_shares_it_is_the_published_interval(
    before: Estimate, after: Estimate, expected: tuple[float, float, float]
) -> None:
    found = difference(before, after)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=5e-5)


def test_by_hand_with_intervals_that_are_not_symmetric() -> None:
    # Before 100 [97, 108], after 120 [114, 125]: 20, less √(6² + 8²) = 10, and more √(5² + 3²) = 5.83.
    found = difference(Estimate(100, 97, 108), Estimate(120, 114, 125))
    assert (found.value, found.low) == (20, 10)
    assert found.high == pytest.approx(20 + math.sqrt(34))


def test_an_end_that_is_not_known_leaves_one_end_open() -> None:
    found = difference(Estimate(1.0, 0.5, 1.5), Estimate(3.0, 2.0, math.inf))
    assert (found.low, found.high) == (2.0 - math.hypot(1.0, 0.5), math.inf)


@pytest.mark.parametrize(
    ("estimate", "side"),
    [
        (Estimate(2, 1, 3), 1),
        (Estimate(-2, -3, -1), -1),
        (Estimate(1, -1, 3), 0),
        (Estimate(1, 0, 2), 0),
        (Estimate(-1, -2, 0), 0),
        (Estimate(1), 0),
    ],
)
def test_which_side_of_0_it_lies_on(estimate: Estimate, side: int) -> None:
    assert estimate.side == side


@pytest.mark.parametrize("ends", [(2.0, 3.0), (-1.0, 0.0), (math.nan, 2.0)])
def test_a_value_outside_its_interval_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="lies within its interval"):
        Estimate(1.0, *ends)


def test_it_holds_the_true_difference_of_two_means() -> None:
    # Normal laws of 3 and 5, deviations 1 and 2; Student's t of 19 degrees at 97.5 % is 2.093024 (tables).
    def mean(values: np.ndarray) -> Estimate:
        half = 2.093024 * float(values.std(ddof=1)) / math.sqrt(len(values))
        return Estimate(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)

    random = np.random.default_rng(7)
    held = 0
    for _ in range(RUNS):
        found = difference(mean(random.normal(3, 1, 20)), mean(random.normal(5, 2, 20)))
        held += found.low <= 2 <= found.high
    assert FEWEST <= held < RUNS


def test_it_holds_the_true_difference_of_two_quantiles() -> None:
    # The p95 of an exponential law of mean m is m · ln 20.
    def p95(values: np.ndarray) -> Estimate:
        ordered = sorted(map(float, values))
        ends, value = quantile_interval(ordered, 0.95, 0.95), quantile(ordered, 0.95)
        assert ends is not None
        assert value is not None
        return Estimate(value, *ends)

    random = np.random.default_rng(8)
    held = 0
    for _ in range(RUNS):
        found = difference(p95(random.exponential(0.2, 300)), p95(random.exponential(0.3, 300)))
        held += found.low <= 0.1 * math.log(20) <= found.high
    assert FEWEST <= held < RUNS

"""Quantiles and their intervals, against hand-worked values, numpy, exact fractions and simulation."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.statistics.quantiles import quantile, quantile_interval
from tests.instruments.shapes import fuzz


@pytest.mark.parametrize(
    ("n", "p", "rank"),
    [
        (1, 0.5, 1),
        (2, 0.5, 1),
        (3, 0.5, 2),
        (20, 0.95, 19),  # 0.95 * 20 is 19.000000000000004 in floats
        (100, 0.99, 99),
        (101, 0.99, 100),
        (100, 0.07, 7),
        (1000, 0.999, 999),
        (10, 0.999, 10),
    ],
)
def test_a_quantile_is_the_value_of_a_rank_worked_out_by_hand(n: int, p: float, rank: int) -> None:
    assert quantile([float(value) for value in range(1, n + 1)], p) == rank


def test_no_sample_has_no_quantile() -> None:
    assert quantile([], 0.5) is None
    assert quantile_interval([], 0.5, 0.95) is None


@fuzz
@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    p=st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]),
)
def test_a_quantile_is_that_of_numpys_inverted_distribution(values: list[float], p: float) -> None:
    # numpy takes the rank from n*p in floats; a sample where that is a whole number is left to the table.
    if abs(len(values) * p - round(len(values) * p)) < 1e-6:
        return
    assert quantile(sorted(values), p) == np.quantile(values, p, method="inverted_cdf")


def exact_ranks(n: int, p: Fraction, confidence: Fraction) -> tuple[int, int] | None:
    """Ranks of the interval by their definition, in whole fractions: no rounding anywhere."""
    mass = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    below = [Fraction(0), *accumulate(mass)]  # below[k] = P(B < k)
    tail = (1 - confidence) / 2
    lows = [rank for rank in range(1, n + 1) if below[rank] <= tail]
    highs = [rank for rank in range(1, n + 1) if 1 - below[rank] <= tail]
    if not lows or not highs:
        return None
    low, high = max(lows), min(highs)
    while low + 1 < high:  # inwards while both tails together miss no more than they may
        moved = [(low + 1, high), (low, high - 1)]
        missed = {ends: below[ends[0]] + 1 - below[ends[1]] for ends in moved}
        within = [ends for ends in moved if missed[ends] <= 2 * tail]
        if not within:
            break
        low, high = max(within, key=lambda ends: (missed[ends], ends[1]))
    return low, high


@pytest.mark.parametrize("p", [Fraction(1, 2), Fraction(9, 10), Fraction(1, 10), Fraction(3, 4)])
@pytest.mark.parametrize("confidence", [Fraction(95, 100), Fraction(1, 2), Fraction(99, 100)])
def test_an_interval_has_the_ranks_that_exact_arithmetic_gives(p: Fraction, confidence: Fraction) -> None:
    for n in range(1, 60):
        expected = exact_ranks(n, p, confidence)
        got = quantile_interval(range(1, n + 1), float(p), float(confidence))
        assert got == expected, n


def test_the_interval_of_a_median_of_ten_is_the_one_of_the_textbooks() -> None:
    """P(B <= 1) = 11/1024 = 0.0107 and P(B <= 2) = 56/1024 = 0.0547: ranks 2 and 9 at 95 %."""
    assert quantile_interval(range(1, 11), 0.5, 0.95) == (2, 9)


@pytest.mark.parametrize(
    ("p", "confidence", "smallest"),
    [
        (0.5, 0.95, 6),  # 2 * 0.5^6 = 0.031
        (0.95, 0.95, 72),  # 0.95^72 = 0.0249, 0.95^71 = 0.0262
        (0.99, 0.95, 368),  # 0.99^368 = 0.02477, 0.99^367 = 0.02502
        (0.99, 0.99, 528),  # 0.99^528 = 0.00496, 0.99^527 = 0.00501
    ],
)
def test_below_a_number_of_requests_there_is_no_interval(p: float, confidence: float, smallest: int) -> None:
    assert quantile_interval(range(smallest - 1), p, confidence) is None
    assert quantile_interval(range(smallest), p, confidence) is not None


@pytest.mark.parametrize(("p", "n"), [(0.5, 40), (0.9, 100), (0.95, 200), (0.99, 500)])
def test_an_interval_holds_the_true_quantile_as_often_as_it_says(p: float, n: int) -> None:
    runs, confidence = 2_000, 0.9
    samples = np.sort(np.random.default_rng(20260101).lognormal(0.0, 0.8, (runs, n)), axis=1)
    # The true quantile of the lognormal, from the normal's of tables.
    z = {0.5: 0.0, 0.9: 1.2815515655446004, 0.95: 1.6448536269514722, 0.99: 2.3263478740408408}[p]
    truth = math.exp(0.8 * z)
    ends = [quantile_interval(sample.tolist(), p, confidence) for sample in samples]
    held = sum(low <= truth <= high for low, high in filter(None, ends))
    # Three standard errors of the simulation below the nominal share; the interval may be wider.
    assert held / runs >= confidence - 3 * math.sqrt(confidence * (1 - confidence) / runs)
    assert len(list(filter(None, ends))) == runs


def test_a_hundred_thousand_requests_are_judged_quickly() -> None:
    began = time.process_time()
    for p in (0.5, 0.95, 0.99, 0.999):
        low, high = quantile_interval(range(1, 100_001), p, 0.95) or (0, 0)
        # The normal approximation, which at this n is good to a rank or two.
        half = 1.959964 * math.sqrt(100_000 * p * (1 - p))
        assert low == pytest.approx(100_000 * p - half, abs=3)
        assert high == pytest.approx(100_000 * p + half, abs=3)
    assert time.process_time() - began < 1

"""Binomial tails and shares, against exact fractions, published intervals and MLPerf's table."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import pytest

from instruments.statistics.quantiles import (
    binomial_at_least,
    binomial_at_most,
    requests_needed,
    share_interval,
)


def exact_at_most(k: int, n: int, p: Fraction) -> Fraction:
    return sum((math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k + 1)), Fraction(0))


@pytest.mark.parametrize(
    "p", [Fraction(1, 100), Fraction(1, 20), Fraction(1, 2), Fraction(9, 10), Fraction(999, 1000)]
)
def test_a_tail_is_that_of_exact_arithmetic(p: Fraction) -> None:
    for n in (1, 2, 7, 30, 120):
        for k in range(n + 1):
            at_most = exact_at_most(k, n, p)
            at_least = 1 - exact_at_most(k - 1, n, p)
            assert binomial_at_most(k, n, float(p)) == pytest.approx(float(at_most), rel=1e-9, abs=1e-14)
            assert binomial_at_least(k, n, float(p)) == pytest.approx(float(at_least), rel=1e-9, abs=1e-14)


def test_a_tail_far_out_keeps_its_digits() -> None:
    assert binomial_at_most(0, 1_000, 0.05) == pytest.approx(0.95**1_000, rel=1e-9)
    assert binomial_at_least(1_000, 1_000, 0.05) == pytest.approx(0.0, abs=1e-300)


@pytest.mark.parametrize(("p", "at_most_3"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_certain_share_has_certain_tails(p: float, at_most_3: float) -> None:
    assert binomial_at_most(3, 10, p) == at_most_3
    assert binomial_at_most(10, 10, p) == 1
    assert binomial_at_most(-1, 10, p) == 0
    assert binomial_at_least(0, 10, p) == 1


# (n, none over … five over), from MLPerf Inference's early-stopping rule.
MLPERF = {
    (0.10, 0.95): (29, 46, 61, 76, 89, 103),
    (0.10, 0.99): (44, 64, 81, 97, 113, 127),
    (0.05, 0.95): (59, 93, 124, 153, 181, 208),
    (0.05, 0.99): (90, 130, 165, 198, 229, 259),
    (0.01, 0.95): (299, 473, 628, 773, 913, 1049),
    (0.01, 0.99): (459, 662, 838, 1001, 1157, 1307),
}


@pytest.mark.parametrize(("share", "confidence"), MLPERF)
def test_the_requests_that_a_pass_needs_are_those_of_mlperf(share: float, confidence: float) -> None:
    needed = tuple(requests_needed(over, share, confidence) for over in range(6))
    assert needed == MLPERF[share, confidence]


def test_fewer_requests_than_needed_prove_nothing() -> None:
    for (share, confidence), row in MLPERF.items():
        for over, n in enumerate(row):
            assert exact_at_most(over, n, Fraction(str(share))) <= 1 - Fraction(str(confidence))
            assert exact_at_most(over, n - 1, Fraction(str(share))) > 1 - Fraction(str(confidence))


@pytest.mark.parametrize(
    ("count", "n", "confidence", "low", "high"),
    [
        (0, 10, 0.95, 0.0, 0.3085),
        (5, 10, 0.95, 0.1871, 0.8129),
        (10, 10, 0.95, 0.6915, 1.0),
        (1, 10, 0.95, 0.0025, 0.4450),
        (0, 20, 0.95, 0.0, 0.1684),
        (10, 100, 0.95, 0.0490, 0.1762),
    ],
)
def test_a_share_has_the_published_clopper_pearson_interval(
    count: int, n: int, confidence: float, low: float, high: float
) -> None:
    assert share_interval(count, n, confidence) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_of_none_seen_has_a_closed_form() -> None:
    for n in (1, 3, 50, 10_000):
        assert share_interval(0, n, 0.9) == pytest.approx((0.0, 1 - 0.05 ** (1 / n)), abs=1e-10)


def test_of_no_requests_there_is_no_share() -> None:
    assert share_interval(0, 0, 0.95) is None


def test_a_hundred_thousand_requests_take_no_time() -> None:
    began = time.process_time()
    for count in (0, 10, 1_000, 50_000, 95_000, 100_000):
        low, high = share_interval(count, 100_000, 0.95) or (1.0, 0.0)
        assert low <= count / 100_000 <= high
        assert high - low < 0.0063  # twice 1.96 standard errors at one half is 0.0062
    assert requests_needed(5_000, 0.05, 0.95) == pytest.approx(102_300, rel=0.01)
    assert time.process_time() - began < 1

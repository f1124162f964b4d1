"""The incomplete beta function against whole fractions, and evidence against what makes it evidence."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from instruments.statistics.beta import log_above, log_below, log_beta
from instruments.statistics.evidence import (
    consistent_counts,
    log_evidence_above,
    log_evidence_below,
    share_sequence,
)


def tail(k: int, n: int, p: Fraction) -> Fraction:
    """P(X <= k) of a binomial(n, p), by its definition."""
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@pytest.mark.parametrize("p", [Fraction(1, 100), Fraction(1, 20), Fraction(1, 2), Fraction(9, 10)])
def test_the_incomplete_beta_function_is_the_binomial_tail_that_fractions_give(p: Fraction) -> None:
    """P(X <= k) = 1 − I_p(k + 1, n − k): DLMF 8.17.5."""
    for n in (1, 7, 40, 200):
        for k in {0, n // 10, n // 2, n - 1}:
            at_most = float(tail(k, n, p))
            assert math.exp(log_above(float(p), k + 1, n - k)) == pytest.approx(at_most, rel=1e-9, abs=1e-300)
            assert math.exp(log_below(float(p), k + 1, n - k)) == pytest.approx(
                1 - at_most, rel=1e-9, abs=1e-12
            )


def test_it_keeps_its_digits_where_the_tail_is_too_small_for_a_float() -> None:
    """P(X <= 0) = 0.5^5000 = e^(5000 ln 0.5), of a beta function the share above 1/2 of Beta(1, 5000)."""
    assert log_above(0.5, 1, 5_000) == pytest.approx(5_000 * math.log(0.5), rel=1e-12)
    assert log_below(0.0, 2, 3) == -math.inf
    assert log_below(1.0, 2, 3) == 0.0


def test_it_takes_counts_that_are_not_whole() -> None:
    """I_x(1/2, 1/2) = (2/π) asin √x, and B(1/2, 1/2) = π."""
    assert log_beta(0.5, 0.5) == pytest.approx(math.log(math.pi))
    for x in (0.01, 0.3, 0.9):
        assert math.exp(log_below(x, 0.5, 0.5)) == pytest.approx(2 / math.pi * math.asin(math.sqrt(x)))


@pytest.mark.parametrize("bound", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("evidence", [log_evidence_below, log_evidence_above])
def test_on_the_bound_itself_evidence_is_1_in_the_mean(bound: float, evidence: object) -> None:
    """Which is all that Ville's inequality asks for: its mean over all outcomes, by the binomial law."""
    assert callable(evidence)
    for n in (1, 5, 30):
        mean = sum(
            math.comb(n, k) * bound**k * (1 - bound) ** (n - k) * math.exp(evidence(k, n, bound))
            for k in range(n + 1)
        )
        assert mean == pytest.approx(1.0, rel=1e-9)


def test_beyond_the_bound_it_only_grows_weaker() -> None:
    """Its mean falls below 1 where the claim is false by more: a share of 6 % is no less than one of 5 %."""
    for share in (0.06, 0.1, 0.5):
        mean = sum(
            math.comb(30, k) * share**k * (1 - share) ** (30 - k) * math.exp(log_evidence_below(k, 30, 0.05))
            for k in range(31)
        )
        assert mean < 1


def test_it_is_seldom_mistaken_however_often_one_looks() -> None:
    """2,000 runs of 3,000 requests on the bound, looked at again and again: no more than 5 % are mistaken."""
    rng = np.random.default_rng(5)
    mistaken = 0
    for _ in range(2_000):
        bad = np.cumsum(rng.random(3_000) < 0.05)
        looks = range(20, 3_000, 20)
        mistaken += any(log_evidence_below(float(bad[n - 1]), n, 0.05) >= math.log(20) for n in looks)
    assert 0.002 < mistaken / 2_000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2_000)


@pytest.mark.parametrize(
    ("bound", "error", "requests"), [(0.05, 0.05, 72), (0.01, 0.05, 367), (0.05, 0.01, 107), (0.1, 0.05, 36)]
)
def test_how_many_good_requests_in_a_row_are_enough(bound: float, error: float, requests: int) -> None:
    """Against one planned look, 59, 299, 90 and 29: by numerical integration of the mixture, on a grid."""
    grid = np.linspace(0, bound, 400_001)[1:]
    a, b = 0.5, 0.5 * (1 - bound) / bound
    prior = grid ** (a - 1) * (1 - grid) ** (b - 1)

    def by_grid(n: int) -> float:
        return float((prior * (1 - grid) ** n).sum() / prior.sum() / (1 - bound) ** n)

    assert log_evidence_below(0, requests, bound) == pytest.approx(math.log(by_grid(requests)), rel=0.01)
    assert log_evidence_below(0, requests, bound) >= -math.log(error)
    assert log_evidence_below(0, requests - 1, bound) < -math.log(error)


def test_a_confidence_sequence_for_a_share_ends_where_the_evidence_does() -> None:
    low, high = share_sequence(30, 1_000, 0.05)
    assert low < 0.03 < high
    assert log_evidence_above(30, 1_000, low) == pytest.approx(math.log(40), abs=1e-3)
    assert log_evidence_below(30, 1_000, high) == pytest.approx(math.log(40), abs=1e-3)
    assert share_sequence(0, 50, 0.05)[0] == 0.0
    assert share_sequence(50, 50, 0.05)[1] == 1.0


def test_counts_that_are_consistent_with_a_share_lie_around_its_mean() -> None:
    low, high = consistent_counts(1_000, 0.95, 0.05)
    assert low < 950 < high
    assert log_evidence_below(low, 1_000, 0.95) == pytest.approx(math.log(40), abs=1e-3)
    assert consistent_counts(10, 0.95, 0.05)[1] == 10  # ten of ten say nothing against 95 %

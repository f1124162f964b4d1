"""Effective sample sizes against laws whose correlation is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from instruments.statistics.correlation import (
    effective_share,
    effective_share_of_bad,
    effective_share_pooled,
    long_run_variance,
    ranks,
)
from instruments.statistics.quantiles import quantile_interval


def autoregressive(n: int, rho: float, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Standard normal values, each rho times the one before and noise: lag k correlates by rho^k."""
    noise = np.random.default_rng(seed).standard_normal(n) * math.sqrt(1 - rho * rho)
    values = np.empty(n)
    at = noise[0] / math.sqrt(1 - rho * rho)
    for index in range(n):
        at = rho * at + noise[index] if index else at
        values[index] = at
    return values


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_an_autoregressive_run_is_worth_1_minus_rho_over_1_plus_rho(rho: float) -> None:
    shares = [effective_share(autoregressive(20_000, rho, seed)) for seed in range(20)]
    assert float(np.mean(shares)) == pytest.approx((1 - rho) / (1 + rho), rel=0.1)


def test_independent_requests_are_worth_themselves() -> None:
    shares = [effective_share(np.random.default_rng(seed).random(500)) for seed in range(400)]
    assert sum(share < 1 for share in shares) <= 12  # about one of a hundred by chance
    assert min(shares) > 0.4


def test_half_of_a_run_that_says_everything_twice_is_worth_nothing() -> None:
    """Worth a half; taken for fading geometrically from 1/2, a third. Never more than it is worth."""
    twice = np.repeat(np.random.default_rng(1).standard_normal(5_000), 2)
    assert 0.3 < effective_share(twice) < 0.55


def test_a_long_run_variance_is_that_of_the_mean_times_n() -> None:
    """Of a moving sum of 4 independent unit normals: each appears in four, so (1 + 1 + 1 + 1)² = 16."""
    noise = np.random.default_rng(2).standard_normal(100_003)
    moving = noise[:-3] + noise[1:-2] + noise[2:-1] + noise[3:]
    assert long_run_variance(moving) == pytest.approx(16, rel=0.1)


def test_too_few_or_equal_values_are_taken_as_they_are() -> None:
    assert effective_share([1.0, 2.0] * 10) == 1.0
    assert effective_share([1.0] * 100) == 1.0


def test_where_none_is_bad_correlation_is_seen_nearer_to_the_middle() -> None:
    values = np.exp(autoregressive(2_000, 0.8, 3))
    beyond = float(values.max()) + 1
    assert effective_share_of_bad(values, beyond) < 0.6
    assert effective_share_of_bad(np.random.default_rng(4).random(2_000), 2.0) == 1.0


def test_values_of_one_request_that_are_alike_are_worth_one() -> None:
    """A thousand requests of fifty gaps, in each all bad or none: worth a thousand, not fifty thousand."""
    bad = np.where(np.random.default_rng(5).random(1_000) < 0.1, 50.0, 0.0)
    sizes = np.full(1_000, 50.0)
    assert effective_share_pooled(sizes, bad) == pytest.approx(1 / 50, rel=0.15)


def test_independent_values_of_requests_are_worth_nearly_all() -> None:
    bad = np.random.default_rng(6).binomial(50, 0.1, 4_000).astype(np.float64)
    assert effective_share_pooled(np.full(4_000, 50.0), bad) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("rho", "allowed"), [(0.0, 0.02), (0.5, 0.04)])
def test_an_interval_on_correlated_requests_holds_the_truth_as_often_as_it_says(
    rho: float, allowed: float
) -> None:
    """300 runs of 2,000: the median's interval at 95 %. Without the correction about 74 %."""
    held = 0
    for seed in range(300):
        values = autoregressive(2_000, rho, 1_000 + seed)
        low, high = quantile_interval(
            np.sort(values).tolist(), 0.5, 0.95, effective_share_of_bad(values, float(np.median(values)))
        ) or (math.inf, -math.inf)
        held += low <= 0 <= high
    assert abs(held / 300 - 0.95) < allowed + 0.01


def test_ranks_are_shares_and_equal_values_share_theirs() -> None:
    """Of 3, 1, 1, inf: 1 holds the places 0 to 2, in the middle 1 of 4; 3 is 2.5 of 4, inf 3.5 of 4."""
    assert ranks(np.array([3.0, 1.0, 1.0, math.inf])).tolist() == [0.625, 0.25, 0.25, 0.875]
    assert ranks(np.array([])).tolist() == []

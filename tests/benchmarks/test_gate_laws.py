"""Laws of the gate benchmark: their true quantiles, by hand and by counting draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.gate.knee import Server
from benchmarks.gate.laws import (
    Autocorrelated,
    Bimodal,
    Law,
    Lognormal,
    Pareto,
    Rising,
    Settling,
    Values,
    limit_at,
)
from benchmarks.gate.regression import spread

LAWS: tuple[Law, ...] = (Lognormal(), Bimodal(), Pareto(), Autocorrelated())
MANY = 200_000


def drawn(law: Law, n: int = MANY, seed: int = 1) -> Values:
    return law.start(np.random.default_rng(seed))(n)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_as_many_draws_are_over_a_true_quantile_as_should_be(law: Law, p: float) -> None:
    # Five standard deviations of a binomial; half as wide again where draws hang together.
    allowed = 5 * 1.5 * math.sqrt(p * (1 - p) / MANY)
    assert np.mean(drawn(law) > law.quantile(p)) == pytest.approx(1 - p, abs=allowed)
    assert law.share_over(law.quantile(p)) == pytest.approx(1 - p, rel=1e-9)


@pytest.mark.parametrize(
    ("law", "p", "value"),
    [
        (Lognormal(0.5), 0.5, 1.0),
        (Lognormal(0.5), 0.95, math.exp(0.5 * 1.6448536269514722)),
        (Pareto(2.0), 0.99, 10.0),  # 10^−2 is 0.01
        (Pareto(2.0), 0.75, 2.0),
        (Bimodal(slow_share=0.5, factor=4.0), 0.5, 2.0),  # half way between equal modes, by symmetry
        (Settling(), 0.5, 1.0),
        (Rising(), 0.5, 1.0),
    ],
)
def test_quantiles_worked_out_by_hand(law: Law, p: float, value: float) -> None:
    assert law.quantile(p) == pytest.approx(value, rel=1e-9)


def test_a_limit_has_the_true_quantile_five_percent_inside_or_ten_outside() -> None:
    law = Pareto(2.0)
    assert limit_at(law, 0.99, -0.05) * 0.95 == pytest.approx(10.0)
    assert limit_at(law, 0.99, 0.10) * 1.10 == pytest.approx(10.0)
    assert law.share_over(limit_at(law, 0.99, 0.10)) == pytest.approx(0.01 * 1.1**2)


@pytest.mark.parametrize("piece", [MANY, 7])
def test_neighbours_of_the_autocorrelated_law_correlate_by_a_half_however_they_are_drawn(piece: int) -> None:
    draw = Autocorrelated().start(np.random.default_rng(2))
    values = np.concatenate([draw(piece) for _ in range(MANY // piece)])
    lags = [float(np.corrcoef(values[:-lag], values[lag:])[0, 1]) for lag in (1, 2, 40)]
    # By hand: corr(Z, Z') is 0.5311, at lag 2 its square: (e^(0.25 · 0.2821) − 1) / (e^0.25 − 1) = 0.257.
    assert Autocorrelated().of_normal == pytest.approx(0.5311, abs=1e-4)
    assert lags == pytest.approx([0.5, 0.257, 0.0], abs=0.02)


def test_a_settling_law_is_three_times_as_slow_at_first_and_then_as_its_truth_says() -> None:
    first = np.median([drawn(Settling(), 1, seed)[0] for seed in range(2_000)])
    assert first == pytest.approx(3.0, rel=0.05)
    settled = Settling().start(np.random.default_rng(3))
    settled(5_000)
    assert np.median(settled(MANY)) == pytest.approx(1.0, rel=0.01)


def test_what_a_rising_law_has_over_a_limit_until_then_is_what_is_counted() -> None:
    law, limit, n = Rising(doubling=1_000), 2.0, 3_000
    counted = np.mean([np.mean(drawn(law, n, seed) > limit) for seed in range(100)])
    assert law.share_over_until(limit, n) == pytest.approx(counted, abs=0.005)
    # The 1,000th request is twice as slow: half of such are over twice the median.
    assert law.share_over_at(limit, 1_000) == pytest.approx(0.5)


@pytest.mark.parametrize("law", [Lognormal(), Pareto(), Autocorrelated()], ids=lambda law: law.name)
def test_a_median_scatters_as_its_spread_says(law: Law) -> None:
    n, times = 2_000, 1_500
    medians = [float(np.median(drawn(law, n, seed))) for seed in range(times)]
    seen = float(np.std(np.log(medians))) * math.sqrt(n)
    assert spread(law) == pytest.approx(seen, rel=0.08)  # its standard error is 1/√(2 · 1500) = 1.8 %


def test_a_servers_knee_is_the_last_number_of_users_whose_p95_keeps_the_limit() -> None:
    for knee, idle in ((1.2, 0.3), (37.5, 0.6), (199.9, 0.21)):
        server = Server.with_knee(knee, idle)
        p95 = Lognormal().quantile(0.95)
        kept = [users for users in range(1, 257) if users < server.saturated_at]
        kept = [users for users in kept if server.idle_s / (1 - users / server.saturated_at) * p95 <= 1.0]
        assert server.knee == max(kept) == int(knee)

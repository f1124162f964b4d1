"""Steady state: what is cut, what is void, and how seldom a steady run is either."""

from __future__ import annotations

import math

import numpy as np
import pytest

from instruments.statistics.steady import Steady, steady_part
from tests.instruments.test_correlation import autoregressive


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_steady_run_is_hardly_ever_called_anything_else(rho: float) -> None:
    found = [steady_part(np.exp(0.5 * autoregressive(1_000, rho, seed))) for seed in range(300)]
    assert (
        sum(one != Steady() for one in found) <= 6
    )  # 0.1 % of each scale by itself; short ones are a little too bold


def test_a_warm_up_that_decays_is_cut_off() -> None:
    """Twice as slow again at first, a twentieth of the run to fall to a third of that."""
    for seed in range(20):
        noise = np.exp(0.3 * autoregressive(2_000, 0.3, seed))
        found = steady_part(noise * (1 + 2 * np.exp(-np.arange(2_000) / 100)))
        assert found.trend is None
        assert 100 <= found.cut <= 1_000


def test_a_warm_up_is_found_in_a_run_so_long_that_it_moves_nothing() -> None:
    noise = np.exp(0.3 * autoregressive(60_000, 0.0, 7))
    found = steady_part(noise * (1 + 2 * np.exp(-np.arange(60_000) / 150)))
    assert found.trend is None
    assert 300 <= found.cut <= 3_000


@pytest.mark.parametrize(("slope", "trend"), [(1.0, "rising"), (-0.6, "falling")])
def test_a_run_that_never_settles_is_said_to_move(slope: float, trend: str) -> None:
    noise = np.exp(0.3 * autoregressive(3_000, 0.3, 11))
    found = steady_part(noise * (1 + slope * np.arange(3_000) / 3_000))
    assert (found.trend, found.cut) == (trend, 0)
    # Middle of the last third over that of the first: (1 + 5/6 slope) / (1 + 1/6 slope) − 1.
    assert found.change == pytest.approx((1 + slope * 5 / 6) / (1 + slope / 6) - 1, abs=0.15)


def test_a_change_too_small_to_matter_is_left_alone() -> None:
    noise = np.exp(0.1 * np.random.default_rng(3).standard_normal(20_000))
    assert steady_part(noise * (1 + 0.03 * np.arange(20_000) / 20_000)).trend is None


def test_a_hump_in_the_middle_is_a_change_too() -> None:
    noise = np.exp(0.2 * autoregressive(3_000, 0.2, 12))
    hump = 1 + np.exp(-(((np.arange(3_000) - 1_500) / 400) ** 2))
    assert steady_part(noise * hump).trend == "changing"


def test_few_values_and_failures_are_borne() -> None:
    assert steady_part([]) == Steady()
    assert steady_part([1.0] * 500) == Steady()
    assert steady_part([math.inf] * 200) == Steady()
    mixed = np.random.default_rng(9).random(400)
    mixed[::7] = math.inf
    assert steady_part(mixed) == Steady()
    dead = np.concatenate([np.random.default_rng(9).random(300), np.full(300, math.inf)])
    assert steady_part(dead).trend == "rising"


def test_values_that_hang_together_for_long_have_no_level_that_is_known() -> None:
    """Lag-1 of 0.97: no trend, and yet the middle of a tenth is far from that of another."""
    wandering = [steady_part(np.exp(0.5 * autoregressive(600, 0.97, seed))) for seed in range(20)]
    assert sum(one.trend is not None or one.cut > 0 for one in wandering) >= 19
    assert all(one.swing > 0.3 for one in wandering if one.trend is not None)
    assert all(steady_part(np.exp(0.5 * autoregressive(600, 0.5, seed))).swing == 0 for seed in range(20))

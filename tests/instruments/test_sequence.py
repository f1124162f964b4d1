"""The confidence sequence holds its error at every look; Student's interval at the one it is for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from instruments.statistics.sequence import FEWEST, fixed_interval, half_width, interval, student_quantile

REPETITIONS, VALUES = 4000, 300
Matrix = NDArray[np.float64]


@pytest.mark.parametrize(
    ("p", "degrees", "value"),
    [  # from the printed tables of Student's t
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.99, 7, 2.998),
        (0.995, 30, 2.750),
        (0.95, 120, 1.658),
        (0.025, 3, -3.182),
        (0.5, 5, 0.0),
    ],
)
def test_students_quantiles_are_those_of_the_tables(p: float, degrees: int, value: float) -> None:
    assert student_quantile(p, degrees) == pytest.approx(value, abs=6e-4)


def test_a_fixed_interval_by_hand() -> None:
    # Mean 3, deviation √2.5, √5 values: 2.776 · 1.5811 / 2.2361 on both sides.
    low, high = fixed_interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.05)
    assert (low, high) == pytest.approx((3 - 1.9632, 3 + 1.9632), abs=1e-3)
    assert fixed_interval([1.0], 0.05) == (-math.inf, math.inf)


@pytest.mark.parametrize("n", [10, 40, 200])
def test_the_ends_are_where_the_mixtures_evidence_is_one_over_the_error(n: int) -> None:
    """The same mixture in its other form: √(c²/(n + c²)) · ((n + c²) V / ((n + c²) V − S²))^(n/2)."""
    error, tuned_at = 0.02, 20
    values = np.random.default_rng(n).normal(1.0, 2.0, n)
    doubt = -2 * math.log(error)
    c2 = tuned_at / (doubt + math.log(doubt + 1))
    for end in interval(values, error, tuned_at=tuned_at):
        squares, total = float(((values - end) ** 2).sum()), float((values - end).sum())
        ratio = (n + c2) * squares / ((n + c2) * squares - total * total)
        assert math.sqrt(c2 / (n + c2)) * ratio ** (n / 2) == pytest.approx(1 / error, rel=1e-6)


def test_of_many_values_it_is_robbins_normal_mixture() -> None:
    """Waudby-Smith et al. 2021: σ √(2 (tρ² + 1) / (t²ρ²) · ln(√(tρ² + 1) / α))."""
    t, error, tuned_at = 5000, 0.05, 1000
    doubt = -2 * math.log(error)
    rho2 = (doubt + math.log(doubt + 1)) / tuned_at
    expected = math.sqrt(2 * (t * rho2 + 1) / (t * t * rho2) * math.log(math.sqrt(t * rho2 + 1) / error))
    assert half_width(3.0, t, error, tuned_at=tuned_at) == pytest.approx(3 * expected, rel=0.005)


def test_too_few_values_say_nothing() -> None:
    assert interval([1.0] * (FEWEST - 1), 0.05, tuned_at=10) == (-math.inf, math.inf)
    assert half_width(1.0, FEWEST - 1, 0.05, tuned_at=10) == math.inf


def ever_missed(values: Matrix, error: float, tuned_at: int) -> float:
    """The share of repetitions in which the sequence misses a mean of 0 at any look."""
    widths = np.array([half_width(1.0, n, error, tuned_at=tuned_at) for n in range(FEWEST, VALUES + 1)])
    mean, deviation = running(values)
    return float((np.abs(mean) > deviation * widths).any(axis=1).mean())


def running(values: Matrix) -> tuple[Matrix, Matrix]:
    n = np.arange(1, VALUES + 1)
    mean = np.cumsum(values, axis=1) / n
    squares = np.cumsum(values * values, axis=1) - n * mean * mean
    deviation = np.sqrt(np.maximum(squares, 0) / np.maximum(n - 1, 1))
    return mean[:, FEWEST - 1 :], deviation[:, FEWEST - 1 :]


@pytest.mark.parametrize("error", [0.02, 0.1])
@pytest.mark.parametrize("law", ["normal", "laplace", "uniform", "student3", "clumped"])
def test_the_error_is_kept_over_all_looks_from_the_eighth_value_on(law: str, error: float) -> None:
    rng = np.random.default_rng(7)
    shape = (REPETITIONS, VALUES)
    drawn = {
        "normal": lambda: rng.normal(size=shape),
        "laplace": lambda: rng.laplace(size=shape),
        "uniform": lambda: rng.uniform(-1, 1, shape),
        "student3": lambda: rng.standard_t(3, shape),
        "clumped": lambda: rng.normal(size=shape) * np.where(rng.random(shape) < 0.1, 5.0, 1.0),
    }[law]()
    chance = 3 * math.sqrt(error * (1 - error) / REPETITIONS)
    assert ever_missed(drawn, error, 20) <= error + chance


def test_a_fixed_interval_that_is_looked_at_again_and_again_does_not_keep_it() -> None:
    values = np.random.default_rng(7).normal(size=(REPETITIONS, VALUES))
    looks = range(FEWEST, VALUES + 1)
    widths = np.array([student_quantile(0.99, n - 1) / math.sqrt(n) for n in looks])
    mean, deviation = running(values)
    assert (np.abs(mean) > deviation * widths).any(axis=1).mean() > 0.1  # where 0.02 was asked
    assert ever_missed(values, 0.02, 20) < 0.025


def test_the_mean_of_skewed_values_is_missed_more_often_as_is_said() -> None:
    values = np.random.default_rng(7).exponential(size=(REPETITIONS, VALUES)) - 1
    assert 0.05 < ever_missed(values, 0.02, 20) < 0.11

"""Trends: slopes worked out by hand, and intervals that keep their word, neighbours correlated or not."""

from __future__ import annotations

import math
from random import Random

import pytest

from instruments.statistics.trend import Trend, trend


def test_a_straight_line_has_its_slope_and_no_doubt() -> None:
    found = trend([float(t) for t in range(60)], [5.0 + 0.25 * t for t in range(60)])
    assert found.slope == pytest.approx(0.25)
    assert found.low == pytest.approx(0.25)
    assert found.high == pytest.approx(0.25)
    # Twelve blocks of five: the first is 5.0, 5.25, 5.5, 5.75, 6.0, whose median is 5.5.
    assert (found.level, found.blocks, found.values) == (5.5, 12, 60)


def test_the_interval_of_six_values_by_hand() -> None:
    # y = 0, 1, 0, 1, 0, 1 at t = 0 … 5. Mean time 2.5, Σ(t − 2.5)² = 17.5, Σ(t − 2.5)·y = −1.5 + 0.5 + 2.5.
    # Slope 1.5/17.5 = 3/35. Σ(y − 1/2)² = 1.5, less slope · 1.5 = 9/70: residuals 48/35 on 4 degrees.
    # Standard error √(48/35/4/17.5) = √(48/2450) = 0.139971; t of 4 degrees at 97.5 % is 2.776445 (tables).
    # Neighbours alternate: their correlation is negative, and widens nothing.
    found = trend([0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 0, 1])
    assert found.slope == pytest.approx(3 / 35)
    assert found.high == pytest.approx(3 / 35 + 2.776445 * math.sqrt(48 / 2450), abs=1e-5)
    assert found.low == pytest.approx(3 / 35 - 2.776445 * math.sqrt(48 / 2450), abs=1e-5)
    assert found.correlation == 0.0


def test_the_order_of_the_values_does_not_matter() -> None:
    times, values = [float(t) for t in range(30)], [float(t % 7) for t in range(30)]
    pairs = list(zip(times, values, strict=True))
    Random(3).shuffle(pairs)
    assert trend(*zip(*pairs, strict=True)) == trend(times, values)


def test_one_hang_is_no_trend() -> None:
    # The last value of sixty is a thousand times the others: the median of its block does not know of it.
    values = [1.0] * 59 + [1000.0]
    assert trend([float(t) for t in range(60)], values).slope == pytest.approx(0.0)


def test_over_a_horizon() -> None:
    found = Trend(slope=2.0, low=1.0, high=3.0, level=0.0, values=60, blocks=12)
    assert found.over(10.0) == (20.0, 10.0, 30.0)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_values_say_nothing(count: int) -> None:
    found = trend([float(t) for t in range(count)], [1.0] * count)
    assert (found.slope, found.low, found.high, found.over(10.0)) == (None, None, None, None)


def test_one_instant_has_no_trend() -> None:
    assert trend([1.0] * 20, [float(v) for v in range(20)]).slope is None


def test_an_instant_for_each_value() -> None:
    with pytest.raises(ValueError, match="2 instants for 1 values"):
        trend([1.0, 2.0], [1.0])


def series(rng: Random, count: int, together: float) -> list[float]:
    """Normal values, each of them `together` times the one before and the rest anew; of variance 1."""
    found = [rng.gauss(0, 1)]
    for _ in range(count - 1):
        found.append(together * found[-1] + math.sqrt(1 - together**2) * rng.gauss(0, 1))
    return found


@pytest.mark.parametrize(("together", "missed_most"), [(0.0, 0.08), (0.5, 0.08), (0.9, 0.12)])
def test_the_interval_misses_as_seldom_as_it_says(together: float, missed_most: float) -> None:
    # A trend of 0.01 a second under noise. 5 % may be missed; of 400 series 8 % are three deviations more.
    # Where correlation lasts for as long as a block, twelve blocks cannot tell all of it.
    rng, missed = Random(11), 0
    for _ in range(400):
        noise = series(rng, 240, together)
        found = trend(range(240), [0.01 * t + v for t, v in enumerate(noise)])
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 0.01 <= found.high
    assert missed / 400 <= missed_most


def test_a_trend_is_found() -> None:
    # Noise of 1, and 2.4 more at the end than at the beginning of 240 values.
    found = trend(range(240), [0.01 * t + v for t, v in enumerate(series(Random(5), 240, 0.3))])
    assert found.low is not None
    assert found.low > 0

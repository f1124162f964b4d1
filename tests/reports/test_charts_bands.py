"""The band of an empirical distribution: its ends against binomial sums that are added up by hand."""

from __future__ import annotations

from math import comb

import pytest

from reports.charts.bands import MOST_POINTS, band


def at_least(k: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def at_most(k: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


def test_each_end_leaves_a_fortieth_on_its_side() -> None:
    """At the lower end so many or more are seen with 2.5 %, at the upper end so many or fewer."""
    found = band([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 10)
    assert found is not None
    assert found.counts == tuple(range(1, 11))
    for count, low, high in zip(found.counts, found.low, found.high, strict=True):
        assert at_least(count, 10, low) == pytest.approx(0.025, abs=1e-9)
        if count < 10:
            assert at_most(count, 10, high) == pytest.approx(0.025, abs=1e-9)
    assert found.high[-1] == 1.0


def test_of_ten_requests_the_first_lies_where_the_tables_have_it() -> None:
    # Published tables: 1 of 10 is from 0.25 % to 44.50 %, 5 of 10 from 18.71 % to 81.29 %.
    found = band([float(value) for value in range(1, 11)], 10)
    assert found is not None
    assert (round(found.low[0], 4), round(found.high[0], 4)) == (0.0025, 0.4450)
    assert (round(found.low[4], 4), round(found.high[4], 4)) == (0.1871, 0.8129)


def test_those_without_a_value_count() -> None:
    """Of 40 requests 20 failed: the curve ends at a half, and its band reaches no further than 20 of 40."""
    found = band([0.5] * 20, 40)
    assert found is not None
    assert (found.values, found.counts, found.total) == ((0.5,), (20,), 40)
    assert at_most(20, 40, found.high[-1]) == pytest.approx(0.025, abs=1e-9)


def test_requests_that_hang_together_have_the_band_of_fewer() -> None:
    """200 requests worth 20: half of them at or below is 10 of 20, and not 100 of 200."""
    values = [1.0] * 100 + [2.0] * 100
    alone, together = band(values, 200), band(values, 200, 0.1)
    assert alone is not None
    assert together is not None
    assert at_least(10, 20, together.low[0]) == pytest.approx(0.025, abs=1e-9)
    assert at_most(10, 20, together.high[0]) == pytest.approx(0.025, abs=1e-9)
    assert at_least(100, 200, alone.low[0]) == pytest.approx(0.025, abs=1e-9)


def test_of_many_values_a_few_points_are_kept_the_last_ones_all() -> None:
    values = [float(value) for value in range(1, 100_001)]
    found = band(values, 100_000)
    assert found is not None
    assert len(found.values) <= MOST_POINTS
    assert found.values[-4:] == (99_997.0, 99_998.0, 99_999.0, 100_000.0)
    assert [value == count for value, count in zip(found.values, found.counts, strict=True)] == [True] * len(
        found.values
    )
    assert not found.every


def test_equal_values_are_one_point_at_the_last_of_them() -> None:
    found = band([0.1, 0.1, 0.1, 0.2], 4)
    assert found is not None
    assert (found.values, found.counts, found.every) == ((0.1, 0.2), (3, 4), True)


def test_nothing_has_no_band() -> None:
    assert band([], 10) is None

"""Drift of a series: values worked out by hand or from tables, and rates found by simulation."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from reports.history.drift import Move, drift, find_step, mann_kendall


def test_six_runs_in_order_by_hand() -> None:
    # All 15 pairs rise. Of 720 orders one rises so, and one falls so: p = 2/720.
    found = mann_kendall([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert (found.s, found.moved) == (15, 5.0)
    assert found.p == pytest.approx(2 / 720)


def test_one_exchange_by_hand() -> None:
    # 1 2 3 4 6 5: 14 pairs rise and one falls. Of four values 1, 3, 5, 6, 5, 3, 1 orders have 0 to 6
    # inversions, of six 1 has none and 5 have one: p = 2 · 6/720.
    assert mann_kendall([1, 2, 3, 4, 6, 5]).p == pytest.approx(12 / 720)
    # Two inversions or none, of four: 2 · (1 + 3 + 5)/24.
    assert mann_kendall([1, 4, 2, 3]).p == pytest.approx(18 / 24)


@pytest.mark.parametrize(
    ("values", "s", "tail"),
    [
        ([3, 1, 2, 6, 4, 5, 9, 7, 10, 8], 31, 0.0023),
        ([5, 4, 3, 2, 1, 7, 6, 9, 8, 10], 21, 0.036),
        ([6, 5, 4, 3, 2, 1, 8, 7, 10, 9], 11, 0.190),
    ],
)
def test_kendalls_table_of_ten(values: list[float], s: int, tail: float) -> None:
    # Kendall, Rank Correlation Methods, appendix table 1: P(S >= s) for n = 10. 7, 12 and 17 inversions.
    found = mann_kendall(values)
    assert found.s == s
    assert found.p / 2 == pytest.approx(tail, rel=0.02)


def test_the_normal_law_takes_over_where_the_exact_one_ends() -> None:
    random = np.random.default_rng(3)
    values = [float(value) for value in np.arange(60) * 0.01 + random.normal(0, 1, 60)]
    exact = mann_kendall(values)
    z = (abs(exact.s) - 1) / math.sqrt(60 * 59 * 125 / 18)
    assert exact.p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.02)


def test_ties_by_hand() -> None:
    # 1 1 2 2 3 3: 12 pairs rise, 3 are tied. Variance (6·5·17 − 3·2·1·9)/18 = 456/18, z = 11/√(456/18).
    found = mann_kendall([1, 1, 2, 2, 3, 3])
    assert found.s == 12
    assert found.p == pytest.approx(math.erfc(11 / math.sqrt(456 / 18) / math.sqrt(2)))
    assert mann_kendall([5.0] * 8) == mann_kendall([7.0] * 8)
    assert mann_kendall([5.0] * 8).p == 1.0


def test_a_step_is_placed_and_its_rarity_is_that_of_choosing_three_of_nine() -> None:
    # Only the three largest last (or first) are as extreme: 2 of C(9, 3) = 84 choices.
    found = find_step([10.0] * 6 + [20.0] * 3)
    assert found is not None
    assert (found.at, found.before, found.after) == (6, 10.0, 20.0)
    assert found.p == pytest.approx(2 / 84, abs=0.005)


def test_the_weight_by_hand() -> None:
    # 0 0 0 9 9 9 9 0 | k = 3: means 0 and 36/5, weighed by √(3·5/8): 9.86. k = 4: 9/4 and 27/4, √2: 6.36.
    # k = 5: 18/5 and 18/3, √(15/8): 3.29. The first is the largest.
    found = find_step([0, 0, 0, 9, 9, 9, 9, 0])
    assert found is not None
    assert (found.at, found.before, found.after) == (3, 0.0, 7.2)


def test_a_step_leaves_three_runs_on_either_side() -> None:
    # The jump is before the last run: the largest difference that three runs share is that of the last three.
    found = find_step([10.0] * 8 + [99.0])
    assert found is not None
    assert (found.at, found.before) == (6, 10.0)
    assert find_step([10.0, 10.0, 10.0, 20.0, 20.0]) is None


def test_one_bad_night_is_no_drift() -> None:
    for at in (0, 10, 29):
        values = [100.0 + (index * 7) % 5 for index in range(30)]
        values[at] = 5_000.0
        assert drift(values, 1).move is Move.STEADY


@pytest.mark.parametrize(("worse", "move"), [(1, Move.WORSE), (-1, Move.BETTER), (0, Move.MOVED)])
def test_which_way_is_worse_is_the_callers(worse: int, move: Move) -> None:
    values = [100.0 + index + (index * 7) % 3 for index in range(12)]
    found = drift(values, worse)
    assert found.move is move
    assert found.is_slow


def test_worse_counts_where_it_moved_both_ways() -> None:
    # It falls from run to run, but for one jump upwards that outweighs all of it: every rise is the jump's.
    values = [*(100 - 0.01 * index for index in range(12)), *(110 - 0.01 * index for index in range(4))]
    found = drift(values, -1)
    assert (found.is_step, found.is_slow, found.slow is not None and found.slow.s < 0) == (True, False, True)
    assert found.move is Move.BETTER
    assert drift(values, 1).move is Move.WORSE


@pytest.mark.parametrize("count", [0, 1, 5])
def test_fewer_than_six_runs_are_not_enough(count: int) -> None:
    found = drift([float(index) for index in range(count)], 1)
    assert (found.move, found.slow, found.step) == (Move.NOT_ENOUGH, None, None)


@pytest.mark.parametrize("law", ["normal", "hangs"])
@pytest.mark.parametrize("runs", [6, 12, 30])
def test_flat_histories_raise_a_false_alarm_in_at_most_5_percent(law: str, runs: int) -> None:
    random = np.random.default_rng(runs)
    found = 0
    for _ in range(200):
        values = 100 + random.normal(0, 2, runs)
        if law == "hangs":
            values *= np.where(random.random(runs) < 0.1, random.uniform(2, 20, runs), 1)
        found += drift(list(map(float, values)), 1).move is not Move.STEADY
    # 200 · 0.05 = 10, and three standard deviations of it are 9.
    assert found <= 19


@pytest.mark.parametrize("after", [5, 15, 25])
def test_a_step_of_10_percent_among_2_percent_of_noise_is_found(after: int) -> None:
    random = np.random.default_rng(after)
    found = 0
    for _ in range(60):
        values = random.normal(0, 2, 30) + np.where(np.arange(30) < after, 100, 110)
        one = drift(list(map(float, values)), 1)
        found += one.move is Move.WORSE and one.step is not None and abs(one.step.at - after) <= 1
    assert found >= 54  # 90 %


def test_a_slow_rise_of_10_percent_over_30_runs_is_found() -> None:
    random = np.random.default_rng(5)
    found = sum(
        drift(list(map(float, 100 + np.linspace(0, 10, 30) + random.normal(0, 2, 30))), 1).move is Move.WORSE
        for _ in range(60)
    )
    assert found >= 54  # 90 %


def test_a_rare_false_alarm_takes_many_orders_and_little_memory() -> None:
    """A step at a level of one in 100,000: half a million orders of 30 runs, 120 MB were they kept."""
    values = [100.0 + index % 5 for index in range(15)] + [200.0 + index % 7 for index in range(15)]
    tracemalloc.start()
    try:
        found = find_step(values, 1e-5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is not None
    assert (found.at, found.p <= 1e-5) == (15, True)
    assert peak < 10_000_000

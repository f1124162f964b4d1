"""Figures of the gate benchmark: exact bars, goals, the comparison with a carried table, the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gate.carried import Table, load, save
from benchmarks.gate.coverage import Intervals, coverage, letter
from benchmarks.gate.figures import Figure, Goal, Share, Size, at_least, at_most, fisher
from benchmarks.gate.gates import AT_LIMIT, at_limit, fixed_size, one_outside, unchanged
from benchmarks.gate.laws import Lognormal
from benchmarks.gate.page import goals, table
from benchmarks.gate.sampling import Target
from benchmarks.saved import BEGIN, END


def test_error_bars_are_those_of_clopper_and_pearson() -> None:
    none = Share("s", "n", 0, 3_000)
    assert none.bars == pytest.approx((0.0, 1 - 0.025 ** (1 / 3_000)))  # by hand: (1 − p)^3000 = 0.025
    assert Share("s", "n", 8, 10).bars == pytest.approx((0.44390454, 0.97478927))  # as tables have it
    assert Share("s", "n", 0, 0).bars is None


@pytest.mark.parametrize(
    ("count", "of", "goal", "verdict"),
    [
        (0, 4_000, at_most(0.001), "reached"),
        (0, 3_000, at_most(0.001), "reached, within the error"),  # the bars reach to 0.123 %
        (4, 3_000, at_most(0.001), "MISSED, within the error"),
        (40, 3_000, at_most(0.001), "MISSED"),
        (1_000, 1_000, at_least(0.99), "reached"),
        (900, 1_000, at_least(0.99), "MISSED"),
        (9_500, 10_000, Goal(0.94, 0.96), "reached"),
        (48, 50, Goal(0.94, 0.96), "reached, within the error"),
        (9_800, 10_000, Goal(0.94, 0.96), "wide"),
        (9_300, 10_000, Goal(0.94, 0.96), "MISSED"),
        (92, 100, Goal(0.94, 0.96), "MISSED, within the error"),  # the bars reach over both ends
        (0, 0, at_most(0.001), "not measured"),
    ],
)
def test_a_goal_is_reached_or_missed_and_surely_only_beyond_the_bars(
    count: int, of: int, goal: Goal, verdict: str
) -> None:
    assert Share("s", "n", count, of, goal).verdict == verdict


def test_goals_are_told_by_their_ends() -> None:
    assert [str(one) for one in (at_most(0.001), at_least(0.99), Goal(0.94, 0.96))] == [
        "≤ 0.1 %",
        "≥ 99 %",
        "94 to 96 %",
    ]


def test_two_counts_of_one_share_by_fishers_exact_test() -> None:
    assert fisher(3, 4, 1, 4) == pytest.approx(34 / 70)  # the lady tasting tea, two-sided
    assert fisher(4, 4, 0, 4) == pytest.approx(2 / 70)
    assert fisher(5, 10, 5, 10) == pytest.approx(1.0)
    assert Share("s", "n", 0, 100).agrees(Share("s", "n", 3, 2_000))
    assert not Share("s", "n", 50, 100).agrees(Share("s", "n", 0, 2_000))


def test_sizes_agree_where_the_intervals_of_both_quantiles_overlap() -> None:
    one = Size.taken("s", "n", list(range(1, 1_001)), 700, "r")
    assert (one.median, one.p95, one.of, one.beside, one.row) == (500, 950, 1_000, 700, "r")
    assert one.agrees(Size.taken("s", "n", list(range(20, 1_020))))
    assert not one.agrees(Size.taken("s", "n", list(range(301, 1_301))))
    assert one.agrees(Size.taken("s", "n", [4.0]))  # one value has no interval, and contradicts nothing


def twenty(letters: str = "M" * 20) -> tuple[str, tuple[int, ...]]:
    return letters, (3_000,) * 20


def counts(figures: list[Figure]) -> dict[str, tuple[int, int]]:
    return {one.row + one.name: (one.count, one.of) for one in figures if isinstance(one, Share)}


def test_gates_are_counted_whole_and_gates_of_one_law_are_five_together() -> None:
    false = "M" * 3 + "V" + "M" * 15 + "I"  # lognormal p99 and settling p99
    said = counts(list(unchanged([twenty()] * 9 + [twenty(false)])))
    assert said["gates with any false VIOLATED, all laws"] == (1, 10)
    assert said["gates with any false VIOLATED, lognormal alone"] == (1, 2)
    assert said["gates with any false VIOLATED, bimodal alone"] == (0, 2)
    assert said["gates that pass"] == (9, 10)
    assert said["lognormal p99VIOLATED"] == said["settling p99INCONCLUSIVE"] == (1, 10)
    assert said["heavy-tailed p50MET"] == (10, 10)


def test_with_one_outside_each_of_the_twenty_has_its_turn() -> None:
    trials = [("V", (5_000,))] * 20 + [("M", (2_000,))] + [("I", (9_000,))] * 19
    said = counts(list(one_outside(trials)))
    assert said["gates VIOLATED"] == (20, 40)
    assert said["gates that could pass: that one MET"] == (1, 40)
    assert said["lognormal p50VIOLATED"] == (1, 2)


def test_at_the_limit_gates_and_objectives_are_counted_apart() -> None:
    said = counts(list(at_limit([twenty("I" * 20), twenty("V" * 2 + "I" * 17 + "M")])))
    assert said["gates with any VIOLATED"] == (1, 2)
    assert (said["objectives VIOLATED"], said["objectives MET"]) == ((2, 40), (1, 40))
    assert AT_LIMIT.place == 0.0


def test_a_test_of_fixed_size_needs_what_the_normal_law_says() -> None:
    # By hand, p50 10 % outside: a share of Φ(ln 1.1 / 0.5) = 0.57559; z of 0.0005 is 3.2905, of 0.01 2.3263.
    hand = ((3.2905 * 0.5 + 2.3263 * (0.57559 * 0.42441) ** 0.5) / 0.07559) ** 2
    assert fixed_size(Target(Lognormal(), 0.5, 0.1), 0.1) == pytest.approx(hand, rel=1e-3)


def test_an_interval_misses_on_the_side_that_the_truth_is_on() -> None:
    assert [letter((1.0, 2.0), truth) for truth in (0.5, 1.5, 2.5)] == ["L", "W", "H"]
    assert letter(None, 1.0) == "N"


def test_coverage_is_held_to_its_goal_only_where_n_allows_intervals() -> None:
    experiment = Intervals(Lognormal(), 100, shares=False)
    trials = [("WWN", (100,))] * 95 + [("LHN", (100,))] * 4 + [("WNN", (100,))]
    found = {one.row + one.name: one for one in coverage(experiment, trials) if isinstance(one, Share)}
    assert (found["lognormal, n = 100, p50coverage"].count, found["lognormal, n = 100, p50coverage"].of) == (
        96,
        100,
    )
    assert found["lognormal, n = 100, p50truth below"].count == 4
    assert found["lognormal, n = 100, p95coverage"].of == 99
    assert found["lognormal, n = 100, p95coverage"].goal == Goal(0.94, 0.96)
    assert found["lognormal, n = 100, p99coverage"].goal is None


FIGURES: tuple[Figure, ...] = (
    Share("gates", "false", 0, 4_000, at_most(0.001)),
    Share("gates", "late", 40, 4_000, at_most(0.001)),
    Share("gates", "MET", 10, 4_000, row="law p50"),
    Size.taken("gates", "requests", list(range(1, 101)), 70, "law p50"),
)


def test_a_table_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    made, page = Table(4, 2_000, FIGURES), tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}\n{END}\nafter\n", "utf-8")
    save(made, tmp_path / "t.json", page)
    assert load(tmp_path / "t.json") == made
    assert load(tmp_path / "none.json") is None
    text = page.read_text("utf-8")
    assert text.startswith("# Before\n")
    assert text.endswith("after\n")
    assert "| law p50 | 0.25 % | 50 / 95 / 70 " in text


def test_a_fresh_table_differs_by_what_is_beyond_the_error_or_there_in_one_only() -> None:
    carried = Table(4, 2_000, FIGURES)
    assert carried.differs(Table(5, 100, FIGURES)) == []
    share = FIGURES[1]
    assert isinstance(share, Share)
    near, far = replace(share, count=2, of=200), replace(share, count=100, of=200)
    assert carried.differs(Table(5, 100, (FIGURES[0], near, *FIGURES[2:]))) == []
    (line,) = carried.differs(Table(5, 100, (FIGURES[0], far, *FIGURES[2:])))
    assert "late: 50.00 %" in line
    assert "carried: gates, late: 1 %" in line
    assert len(carried.differs(Table(5, 100, FIGURES[:3]))) == 1
    assert len(Table(4, 2_000, FIGURES[:3]).differs(carried)) == 1


def test_the_page_begins_with_the_goals_that_were_not_reached() -> None:
    assert goals(FIGURES).startswith("1 of 2 goals reached.\n* gates, late: 1 % ")
    assert Table(4, 1, FIGURES).missed() == [goals(FIGURES).splitlines()[1][2:]]
    assert "### Gates" in table(FIGURES, 2_000, 4)

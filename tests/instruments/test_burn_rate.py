"""Burn rates: the workbook's table, the same within a run, and when a share is more than chance."""

from __future__ import annotations

import math

import pytest

from instruments.errors import ConfigurationError
from instruments.slo.burn_rate import DAY, HOUR, MINUTE, Pair, Plan, duration, for_period, for_run, seconds_of


def table(plan: Plan) -> list[tuple[str, float, str, str]]:
    return [(one.severity, one.factor, duration(one.long_s), duration(one.short_s)) for one in plan.pairs]


def test_a_month_has_the_workbooks_table() -> None:
    """Google SRE workbook, chapter 5, section 6: its two example rules, each of two pairs."""
    assert table(for_period()) == [
        ("page", 14.4, "1h", "5m"),
        ("page", 6.0, "6h", "30m"),
        ("ticket", 3.0, "1d", "2h"),
        ("ticket", 1.0, "3d", "6h"),
    ]


def test_a_month_looks_at_seven_windows() -> None:
    assert [duration(one) for one in for_period().windows_s] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]


def test_another_period_burns_the_same_shares_of_its_budget() -> None:
    """2 % of 28 days' budget are gone in an hour at 0.02 × 672 h / 1 h = 13.44."""
    assert [pair.factor for pair in for_period(28 * DAY).pairs] == [13.44, 5.6, 2.8, 0.933333]
    assert [pair.factor for pair in for_period(90 * DAY).pairs] == [43.2, 18.0, 9.0, 3.0]


@pytest.mark.parametrize("period_s", [DAY, 27 * DAY, 93 * DAY])
def test_windows_of_days_need_a_period_of_about_a_month(period_s: float) -> None:
    with pytest.raises(ConfigurationError, match="about a month"):
        for_period(period_s)


def test_a_run_of_ten_minutes_is_the_longest_window() -> None:
    """600 s / 3 d = 1/432: 1 h is 8.3 s, 6 h 50 s, 2 h 16.7 s, 1 d 200 s; 5 m (0.7 s) and 30 m (4.2 s) rise
    to whole seconds and to the four scrapes that a rate needs."""
    assert table(for_run(600.0)) == [
        ("page", 14.4, "9s", "4s"),
        ("page", 6.0, "50s", "5s"),
        ("ticket", 3.0, "3m20s", "17s"),
        ("ticket", 1.0, "10m", "50s"),
    ]


def test_a_run_of_three_days_has_a_months_windows() -> None:
    assert table(for_run(3 * DAY, 15.0)) == table(for_period())


def test_a_pair_that_would_be_two_equal_windows_is_left_out_and_said() -> None:
    """60 s / 3 d = 1/4320: 1 h is 0.8 s, less than four scrapes; 6 h is 5 s, and stays."""
    plan = for_run(60.0)
    assert table(plan) == [
        ("page", 6.0, "5s", "4s"),
        ("ticket", 3.0, "20s", "4s"),
        ("ticket", 1.0, "1m", "5s"),
    ]
    assert plan.dropped == ("14.4 times over 1h and 5m: no longer than 4 scrapes",)


@pytest.mark.parametrize(("run_s", "scrape_s"), [(48.0, 1.0), (720.0, 15.0), (0.0, 1.0), (28 * DAY, 1.0)])
def test_a_run_of_too_few_scrapes_is_refused(run_s: float, scrape_s: float) -> None:
    """6 h are a twelfth of 3 d: a twelfth of the run has to be longer than four scrapes."""
    with pytest.raises(ConfigurationError, match="cannot be scaled to"):
        for_run(run_s, scrape_s)


@pytest.mark.parametrize(("run_s", "scrape_s"), [(49.0, 1.0), (721.0, 15.0)])
def test_a_run_of_just_enough_scrapes_is_not(run_s: float, scrape_s: float) -> None:
    assert [pair.factor for pair in for_run(run_s, scrape_s).pairs] == [6.0, 3.0, 1.0]


@pytest.mark.parametrize("scrape_s", [0.0, 0.5, 1.5])
def test_scrapes_are_whole_seconds_apart(scrape_s: float) -> None:
    with pytest.raises(ConfigurationError, match="whole seconds"):
        for_run(600.0, scrape_s)


def test_five_minutes_must_hold_four_scrapes() -> None:
    assert for_period(scrape_s=75.0).pairs
    with pytest.raises(ConfigurationError, match="too few scrapes"):
        for_period(scrape_s=76.0)


def test_long_windows_are_evaluated_less_often() -> None:
    """5 m / 20 = 15 s; 6 h / 20 would be 18 min, after which a page is late: never more than 30 s."""
    month, run = for_period(), for_run(600.0)
    assert [month.every_s(quick=True), month.every_s(quick=False)] == [15.0, 30.0]
    assert [run.every_s(quick=True), run.every_s(quick=False)] == [
        1.0,
        2.0,
    ]  # 50 s / 20 = 2.5 s, whole seconds


def test_no_rule_is_evaluated_more_often_than_there_are_scrapes() -> None:
    plan = for_period(scrape_s=60.0)
    assert [plan.every_s(quick=True), plan.every_s(quick=False)] == [60.0, 60.0]


@pytest.mark.parametrize(
    ("bad_share", "thresholds"),
    [
        (0.05, [0.72, 0.3, 0.15, 0.05]),
        (0.1, [None, 0.6, 0.3, 0.1]),  # 14.4 × 10 % is 144 %
        (0.5, [None, None, None, 0.5]),
        (1 / 6, [None, None, 0.5, 1 / 6]),  # 6 / 6 is all of them: none can be over it
    ],
)
def test_what_share_an_alert_must_see(bad_share: float, thresholds: list[float | None]) -> None:
    found = [pair.threshold(bad_share) for pair in for_period().pairs]
    assert [one and round(one, 9) for one in found] == [one and round(one, 9) for one in thresholds]


@pytest.mark.parametrize(
    ("factor", "bad_share", "events"), [(14.4, 0.05, 14), (6, 0.05, 34), (1, 0.05, 200), (1, 0.001, 10_000)]
)
def test_how_many_events_a_window_must_hold(factor: float, bad_share: float, events: int) -> None:
    """Ten bad ones at the threshold: 10 / 0.72 = 13.9, 10 / 0.3 = 33.3, 10 / 0.05, 10 / 0.001."""
    assert Pair("page", factor, HOUR, MINUTE).events_least(bad_share) == events


def test_half_the_threshold_is_seldom_seen_as_above_it() -> None:
    """200 events at a true share of 2.5 % against a threshold of 5 %: P(X > 10), X binomial, is 1.3 %; with
    the Poisson law, which bounds every pair, 1.4 %."""
    binomial = 1 - sum(math.comb(200, k) * 0.025**k * 0.975 ** (200 - k) for k in range(11))
    poisson = 1 - sum(math.exp(-5) * 5**k / math.factorial(k) for k in range(11))
    assert binomial < poisson == pytest.approx(0.0137, abs=0.0001)
    tight = 1 - sum(math.comb(14, k) * 0.36**k * 0.64 ** (14 - k) for k in range(11))
    assert tight < poisson


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (4, "4s"), (200, "3m20s"), (600, "10m"), (5400, "1h30m"), (180_000, "2d2h"), (0.25, "250ms")],
)
def test_durations_are_written_as_prometheus_writes_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    if seconds >= 1:
        assert seconds_of(words) == seconds


@pytest.mark.parametrize("words", ["", "10", "0s", "1.5h", "-1h", "30m1h", "month", "1h "])
def test_what_is_no_duration_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="30d, 10m or 1h30m"):
        seconds_of(words)

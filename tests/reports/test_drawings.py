"""Strips and curves: drawn where the numbers are, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from instruments.journal import load_run
from instruments.slo import State, Verdict
from instruments.statistics import RunSummary, summarize
from reports.latency import panels, quantile_rows
from reports.page.strip import WIDTH, strip
from reports.plots import plot_svg
from tests.reports.runs import RunBuilder, answered, even_load, failed, objective

Summarize = Callable[[list[Any]], RunSummary]


@pytest.fixture
def summary_of(run: RunBuilder) -> Summarize:
    return lambda records: summarize(load_run(run.load("chat-10", records)))


def verdict(value: float | None, low: float | None, high: float | None, **limit: Any) -> Verdict:
    return Verdict(objective(**limit), "load", State.MET, "", 100, 0, value, low, high)


def test_a_strip_is_linear_from_0_and_leaves_air_beyond_the_largest_number() -> None:
    drawn = strip(verdict(0.5, 0.25, 0.75, at_most=1.0))
    # 1.15 is the right edge: 194 of 200 less the left margin of 6 makes 188 for 1.15 s.
    assert drawn.limit == pytest.approx(6 + 188 / 1.15, abs=0.01)
    assert drawn.value == pytest.approx(6 + 188 * 0.5 / 1.15, abs=0.01)
    assert drawn.allowed == (6.0, drawn.limit)
    assert not drawn.unbounded


def test_a_strip_of_a_share_with_a_lower_limit_allows_what_is_above() -> None:
    share = {"indicator": "goodput_share", "statistic": "share", "at_most": None, "at_least": 0.9}
    drawn = strip(verdict(0.95, 0.92, 0.97, per_request={"ttft_s": 0.5}, **share))
    assert drawn.allowed == (drawn.limit, WIDTH - 6)
    assert drawn.value is not None
    assert drawn.value > drawn.limit


def test_what_has_no_upper_end_is_drawn_to_the_edge_and_what_has_no_value_has_no_mark() -> None:
    drawn = strip(verdict(None, 25.0, None, at_most=1.5))
    assert (drawn.value, drawn.unbounded) == (None, True)
    assert drawn.interval is not None
    assert drawn.interval[1] == WIDTH - 6


def test_a_limit_of_none_at_all_can_be_drawn() -> None:
    drawn = strip(verdict(0.0, None, None, indicator="errors", statistic="count", at_most=0))
    assert drawn.limit == drawn.value == 6.0


def test_a_load_of_a_single_request_can_be_drawn(summary_of: Summarize) -> None:
    (panel, *_) = panels(summary_of([answered(0, 10)]), [])
    assert "<svg" in plot_svg(panel, "p0")


def test_a_curve_ends_below_100_percent_by_those_that_failed(summary_of: Summarize) -> None:
    answers = [answered(index, 10 * (index + 1)) for index in range(75)]
    summary = summary_of([*answers, *(failed(75 + index) for index in range(25))])
    ttft = panels(summary, [objective()])[0]
    assert (len(ttft.curves[0].values), ttft.curves[0].total) == (75, 100)
    assert [(line.value_s, line.share) for line in ttft.limits] == [(1.2, 0.95)]


def test_the_curve_from_due_is_drawn_only_where_an_objective_asks(summary_of: Summarize) -> None:
    summary = summary_of(even_load())
    assert [len(panel.curves) for panel in panels(summary, [objective()])] == [1, 1, 1]
    from_due = objective(indicator="e2e_from_due_s", at_most=5.0)
    assert [len(panel.curves) for panel in panels(summary, [from_due])] == [1, 2, 1]


def test_the_limits_of_a_good_request_are_drawn_without_a_share(summary_of: Summarize) -> None:
    good = objective(
        indicator="goodput_share",
        statistic="share",
        at_most=None,
        at_least=0.9,
        per_request={"tpot_s": 0.05, "ttft_s": 0.5},
    )
    drawn = panels(summary_of(even_load()), [good])
    assert [[(line.value_s, line.share) for line in one.limits] for one in drawn] == [
        [(0.5, None)],
        [],
        [(0.05, None)],
    ]


def test_a_quantile_among_failures_is_a_dash(summary_of: Summarize) -> None:
    answers = [answered(index, 10 * (index + 1)) for index in range(75)]
    summary = summary_of([*answers, *(failed(75 + index) for index in range(25))])
    ttft = quantile_rows(summary)[0]
    # 75 of 100 answered: p50 is the 50th, 500 ms; p90 and beyond lie among the 25 that failed.
    assert [value for value, _ in ttft.cells] == ["500 ms", "–", "–", "–"]
    assert (ttft.known, ttft.total) == (75, 100)


def test_pooled_gaps_have_no_interval(summary_of: Summarize) -> None:
    itl = next(row for row in quantile_rows(summary_of(even_load())) if row.label.startswith("ITL"))
    assert [interval for _, interval in itl.cells] == ["–"] * 4
    assert (itl.known, itl.cells[0][0]) == (1000, "20 ms")
    assert itl.pooled


def test_the_ids_of_two_drawings_differ(summary_of: Summarize) -> None:
    panel = panels(summary_of(even_load()), [objective()])[0]
    one, other = plot_svg(panel, "a"), plot_svg(panel, "b")
    assert one.count('id="a-') == other.count('id="b-') > 0
    assert one.count('id="') == one.count('id="a-')
    assert one.count("url(#") == one.count("url(#a-")


def test_a_drawing_is_the_same_each_time(summary_of: Summarize) -> None:
    panel = panels(summary_of(even_load()), [objective()])[0]
    assert plot_svg(panel, "a") == plot_svg(panel, "a")


def test_a_drawing_of_many_requests_stays_small(summary_of: Summarize) -> None:
    summary = summary_of([answered(index, 10 + index // 10) for index in range(5000)])
    drawn = plot_svg(panels(summary, [objective()])[0], "a")
    assert len(drawn) < 30_000
    assert "TTFT: 5000 of 5000 requests have one" in drawn

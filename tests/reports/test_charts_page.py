"""Loads and charts on the page: which are drawn, what is said of the rest, and how large it all may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from instruments.records import Outcome
from instruments.slo import ServiceLevelObjective, State
from instruments.telemetry.record import Series
from reports.charts.arrivals import gap_bins
from reports.latency import samples
from reports.loads import Load
from reports.model import SessionReport, read_report
from reports.page import render
from reports.page.charts import MOST_PLOTTED, MOST_TABLED, ranked
from reports.page.charts_of_loads import LoadCharts, load_charts
from reports.plots.heat import heat_levels, round_gaps
from tests.reports.loads import UNIX_S, load_of, request
from tests.reports.markup import Page
from tests.reports.runs import RunBuilder, answered, even_load, failed, objective


def report_of(run: RunBuilder) -> SessionReport:
    return read_report(run.session().folder.path)


def test_the_worst_load_comes_first_and_those_that_nobody_judged_last(run: RunBuilder) -> None:
    few = [answered(index, 10 * (index + 1)) for index in range(10)]
    run.load("a-unjudged", even_load())
    run.judge(run.load("b-met", even_load()), objective())
    run.judge(run.load("c-undecided", few), objective())
    violated = run.load("d-violated", even_load())
    run.judge(violated, objective())
    run.judge(violated, objective(id="tight", at_most=0.1))
    found = ranked(report_of(run))
    assert [(load.summary.name, state) for load, state, _ in found] == [
        ("d-violated", State.VIOLATED),
        ("c-undecided", State.INCONCLUSIVE),
        ("b-met", State.MET),
        ("a-unjudged", None),
    ]
    assert [len(objectives) for _, _, objectives in found] == [2, 1, 1, 0]


def test_the_overview_has_every_load_with_its_counts(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [*even_load()[:99], failed(99)]), objective())
    text = Page(render(report_of(run))).text
    overview = text[text.index("All loads.") :]
    # 99 answers of 11 tokens in 10 s; the one that is left out is the one of 640 ms (37 × 99 mod 100 is 63).
    assert re.search(r"chat-10 . \w+ 100 99 1 10 108.9 500 ms", overview)


def test_150_loads_stay_small_and_it_is_said_what_is_left_out(run: RunBuilder) -> None:
    for number in range(150):
        run.load(f"load-{number:03d}", even_load()[: 20 + number % 3])
    text = render(report_of(run))
    assert text.count('class="plot"') == 3 * MOST_PLOTTED
    assert text.count("Quantiles of ") == MOST_TABLED
    assert len(text.encode()) < 1_200_000
    said = Page(text).text
    assert "140 further loads without plots, to keep the page small" in said
    assert "of 90 the numbers are in the tables of all loads only" in said
    assert all(f"load-{number:03d}" in said for number in range(150))


def test_of_a_thousand_loads_the_first_are_listed_and_the_rest_counted(
    met: RunBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("LISTED", 2), ("PLOTTED", 1), ("TABLED", 1)):
        monkeypatch.setattr(f"reports.page.charts.MOST_{name}", most)
    met.load("late-1", even_load()[:20])
    met.load("late-2", even_load()[:20])
    page = Page(render(read_report(met.folder.path)))
    assert "3 loads, those first whose objectives came off worst" in page.text
    assert "1 of 3 loads not listed here, but in verdict.json" in page.text
    # Of the two that are listed one has no plots, and its numbers are in the tables of all loads.
    assert "1 further load without plots, to keep the page small; of 1 the numbers are in" in page.text
    assert "chat-10" in page.text
    assert "late-1" in page.text


def drawn(load: Load, objectives: Sequence[ServiceLevelObjective]) -> LoadCharts:
    return load_charts(load, objectives, samples(load.summary), "x")


def full_load(name: str = "load", requests: int = 60) -> Load:
    """Answers with chunks, one failure, and a server with a GPU that told of itself."""
    records = [
        request(0.08 * n, [0.08 * n + 0.1 + 0.013 * k * (1 + n % 5) for k in range(8)])
        for n in range(requests)
    ]
    at = tuple(UNIX_S + 0.5 * n for n in range(10))
    values = tuple(float(n % 4) for n in range(10))
    names = ("running", "waiting", "kv_cache_usage", "gpu0.power_w", "gpu0.utilisation_share")
    series = {one: Series(at, values) for one in names}
    failure = request(1, done_s=2, outcome=Outcome.FAILED)
    return load_of([*records, failure], name=name, series=series)


def test_every_drawing_of_a_load_is_well_formed_named_and_without_a_style_of_its_own() -> None:
    charts = drawn(full_load(), [objective()])
    drawings = [*charts.distributions, *charts.over_time]
    assert [one.name for one in drawings] == [
        "TTFT",
        "E2E",
        "TPOT",
        "Client over time",
        "Server over time",
        "Gaps between tokens",
        "What did not complete",
    ]
    ids: list[str] = []
    for one in drawings:
        root = ElementTree.fromstring(one.svg)  # noqa: S314 - drawn a line above
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 40
        assert "<style" not in one.svg
        assert "var(--" in one.svg
        assert not re.search(r"#[0-9a-fA-F]{6}", one.svg)
        ids += re.findall(r'\bid="([^"]+)"', one.svg)
        assert {*re.findall(r'(?:url\(|href=")#([^)"]+)', one.svg)} <= set(ids)
        assert len(one.svg) < 30_000
    assert len(ids) == len(set(ids))
    assert all(one.startswith("x-") for one in ids)


def test_a_load_of_everything_stays_bounded_however_many_requests_it_has() -> None:
    charts = drawn(full_load(requests=3000), [objective()])
    assert max(len(one.svg) for one in (*charts.distributions, *charts.over_time)) < 30_000
    assert sum(len(row) for table in charts.tables for row in table.rows) < 1_500


def test_the_numbers_of_a_drawing_are_in_its_tables() -> None:
    """61 requests in 16 slices; 60 × 7 gaps; what failed lies in one slice."""
    distributions, over_time, gaps = drawn(full_load(), [objective()]).tables
    assert over_time.heads == (
        "From start", "Sent", "In flight", "Tokens/s", "TTFT p50", "TTFT p95", "Failed",
        "Running", "Waiting", "KV cache, %", "GPU power, W", "GPU use, %",
    )  # fmt: skip
    assert len(over_time.rows) == 16
    assert sum(int(row[1]) for row in over_time.rows) == 61
    assert sum(int(row[6]) for row in over_time.rows) == 1
    assert sum(int(row[1]) for row in gaps.rows) == 420
    assert distributions.rows[-1][1] == "60"


def test_drawings_over_time_are_described_as_they_are() -> None:
    """60 answers of 7 gaps; of the slices some have no answer, and no row of the heat has the most of all."""
    of = {one.name: one.svg for one in drawn(full_load(), ()).over_time}
    assert "420 gaps between tokens by time" in of["Gaps between tokens"]
    assert "of the longer ones the fullest row has 84, from " in of["Gaps between tokens"]
    sparse = load_of([request(n, [n + 0.1, n + 0.1]) for n in range(4)])
    of = {one.name: one.svg for one in drawn(sparse, ()).over_time}
    # Of 16 slices four have a request.
    assert "p50 from 100 to 100 and undefined in 12 of 16 slices" in of["Client over time"]
    assert "4 gaps between tokens by time, over 5.0 s, and length; 4 of them 0" in of["Gaps between tokens"]


def test_the_servers_line_breaks_where_prometheus_was_down() -> None:
    at = tuple(UNIX_S + 0.2 * n for n in range(25) if not 8 <= n < 16)
    load = load_of([request(0, [0.1, 0.2])], series={"running": Series(at, tuple(map(float, range(17))))})
    chart = next(one for one in drawn(load, ()).over_time if one.name == "Server over time")
    assert chart.caption.endswith("; a line breaks where nothing was told")
    assert "running from 0 to 16 and 1 gap" in chart.svg
    whole = next(one for one in drawn(full_load(), ()).over_time if one.name == "Server over time")
    assert "gap" not in whole.svg + whole.caption


def test_a_load_without_a_server_or_a_failure_has_no_drawing_of_them() -> None:
    load = load_of([request(0.1 * n, [0.1 * n + 0.05, 0.1 * n + 0.07]) for n in range(20)])
    names = [one.name for one in drawn(load, ()).over_time]
    assert names == ["Client over time", "Gaps between tokens"]


def test_a_load_in_which_all_failed_has_its_errors_and_no_latency() -> None:
    load = load_of([request(n * 0.1, done_s=n * 0.1 + 1, outcome=Outcome.FAILED) for n in range(30)])
    charts = drawn(load, [objective()])
    assert charts.distributions == ()
    assert [one.name for one in charts.over_time] == ["Client over time", "What did not complete"]
    assert {row[4] for row in charts.tables[0].rows} == {"–"}


def test_levels_of_the_heat_map_begin_at_1_and_grow_by_one_factor() -> None:
    # 5 levels up to 1,024: 1,024 to the fifths are 1, 4, 16, 64 and 256.
    assert [level.least for level in heat_levels(1024)] == [1, 4, 16, 64, 256]
    assert [level.least for level in heat_levels(1)] == [1]
    assert [level.opacity for level in heat_levels(1)] == [1]
    opacities = [level.opacity for level in heat_levels(1024)]
    assert opacities == sorted(opacities)
    assert opacities[-1] == 1


@pytest.mark.parametrize(("shortest", "longest"), [(0.01, 0.1), (0.0001, 2.0), (0.02, 0.025)])
def test_round_gaps_lie_at_their_place_on_the_axis(shortest: float, longest: float) -> None:
    bins = gap_bins(shortest, longest)
    found = round_gaps(bins)
    assert found
    for place, seconds in found:
        assert bins.edge_s(0) * 10 ** (place / bins.per_decade) == pytest.approx(seconds)
        assert -0.01 <= place <= bins.count + 0.01


def test_the_page_says_how_far_the_clocks_agree_and_what_the_bands_are(run: RunBuilder) -> None:
    series = {"running": Series((float(UNIX_S) + 5.0,), (3.0,))}
    run.judge(run.load("chat-10", even_load()), objective())
    run.server("chat-10", series=series, clock_error_s=0.012, source="Prometheus")
    text = Page(render(report_of(run))).text
    assert "1 sample by Prometheus; its clock is the client's to within 12 ms" in text
    assert "its 95 % interval, at each point for itself" in text

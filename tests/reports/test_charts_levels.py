"""Curves over loads: which loads are a family, what a search's probes came to, how B compares with A."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instruments.clock import ClockAnchor
from instruments.journal import Journal
from instruments.records import Outcome, RequestRecord, Window
from instruments.results import RunFolder
from instruments.slo import State
from reports.charts.families import families
from reports.charts.knees import good_limits, knee
from reports.loads import Load
from reports.model import read_report
from reports.page import render
from reports.page.chart_tables import family_table
from reports.page.charts_of_levels import lead, levels_view
from reports.plots.levels import good_rate_svg, good_share_svg, ttft_svg
from reports.searches import Search
from tests.reports.loads import NS, load_of, request
from tests.reports.markup import Page
from tests.reports.runs import RunBuilder

TTFT_1S: dict[str, Any] = {
    "id": "a",
    "indicator": "ttft_s",
    "statistic": "p95",
    "at_most": 1.0,
    "per_request": {},
}
ERRORS: dict[str, Any] = TTFT_1S | {"indicator": "error_share", "statistic": "share", "at_most": 0.05}


def at_users(users: int, name: str = "sweep", **workload: Any) -> Load:
    described = {"id": f"{name}-{users}", "description": f"{users} at once", "users": users}
    described |= {"requests_measured": 10 * users, "prompt_tokens": 24}
    return load_of([request(0, [0.1 * users])], name=f"{name}-{users}", workload=described | workload)


def test_loads_that_differ_in_users_only_are_a_family() -> None:
    (family,) = families([at_users(4), at_users(1), at_users(2)])
    assert (family.name, family.is_curve) == ("sweep", True)
    assert [level.users for level in family.levels] == [1, 2, 4]
    assert [level.ttft_p50.value for level in family.levels] == pytest.approx([0.1, 0.2, 0.4])


@pytest.mark.parametrize("changed", [{"prompt_tokens": 25}, {"turns": 2}])
def test_a_load_that_differs_in_more_is_of_no_family(changed: dict[str, Any]) -> None:
    assert families([at_users(1), at_users(2), at_users(4, **changed)]) == ()


def test_a_level_at_which_all_failed_is_a_level_and_one_that_is_void_says_so() -> None:
    described = dict(at_users(4).workload)
    dead = load_of([request(0, done_s=1, outcome=Outcome.FAILED)] * 5, name="sweep-4", workload=described)
    late = at_users(2)
    void = replace(late, summary=replace(late.summary, void=("its loop was late",)))
    (family,) = families([at_users(1), void, dead])
    assert [(level.users, level.ttft_p95.value, level.doubt) for level in family.levels] == [
        (1, 0.1, ""),
        (2, 0.2, "void"),
        (4, None, ""),
    ]
    assert family_table(family).rows[1][0] == "2 (sweep-2: void)"
    assert family_table(family).rows[2][1:4] == ("0 of 5", "–", "–")
    described_as = ttft_svg(family, "x")
    assert "1 user: p50 100 ms, p95 100 ms, 2 users: p50 200 ms, p95 200 ms, 4 users: p50 –" in described_as
    assert families([dead, dead, dead]) == ()


def test_two_levels_are_no_family_and_neither_is_one_twice() -> None:
    assert families([at_users(1), at_users(2), at_users(2)]) == ()


def test_loads_on_another_server_are_another_family() -> None:
    elsewhere = at_users(4)
    moved = dict(elsewhere.run.description) | {"base_url": "http://127.0.0.1:1"}
    other = load_of(elsewhere.run.records, name="sweep-4", **moved)
    assert families([at_users(1), at_users(2), other]) == ()


def test_sweeps_of_one_kind_are_told_apart_by_name_and_the_rest_has_no_line() -> None:
    sweep = [at_users(users) for users in (1, 2, 4)]
    rest = [at_users(3, "three"), at_users(5, "five"), at_users(7, "seven"), at_users(7, "other")]
    first, second = families([*rest[:1], *sweep, *rest[1:]])
    assert (first.name, first.is_curve) == ("three, five, other, seven", False)
    assert (second.name, len(second.levels)) == ("sweep", 3)


def test_what_makes_a_request_good_are_the_limits_on_single_requests() -> None:
    mean = {"id": "c", "indicator": "tpot_s", "statistic": "mean", "at_most": 0.05, "per_request": {}}
    goodput: dict[str, Any] = {"id": "d", "indicator": "goodput_share", "statistic": "share", "at_most": None}
    goodput |= {"per_request": {"ttft_s": 0.5, "tpot_s": 0.1}}
    assert good_limits([TTFT_1S, ERRORS, mean]) == {"ttft_s": 1.0}
    assert good_limits([TTFT_1S, goodput]) == {"ttft_s": 0.5, "tpot_s": 0.1}


def journal(path: Path, records: list[RequestRecord]) -> None:
    with Journal(path, "probe", {"workload": {"id": "knee"}}, ClockAnchor(0, 0)) as written:
        for record in records:
            written.append(record)
        written.end(Window(0, 10 * NS), None, None)


def searched(folder: Path, **changes: Any) -> Search:
    """Two probes of 20 requests in 10 s: all within 1 s at 8 users, 5 late and 1 failed at 16."""
    good = [request(0, [0.5, 0.6]) for _ in range(20)]
    mixed = [request(0, [0.5, 0.6])] * 14 + [request(0, [1.5, 1.6])] * 5
    mixed.append(request(0, done_s=1, outcome=Outcome.FAILED))
    told = []
    for level, state, records in ((16.0, "VIOLATED", mixed), (8.0, "MET", good)):
        name = f"loads/probe-{level:g}.jsonl"
        journal(folder / "capacity" / "knee" / name, records)
        told.append({"level": level, "state": state, "evidence": "because", "journal": name})
    document = {
        "asked": {"by": "users", "promise": 8.0, "confidence": 0.95},
        "objectives": [TTFT_1S, ERRORS],
        "probes": told,
        "low": 8.0,
        "high": 15.0,
        "violated": 16.0,
        "promise": "MET",
        "reason": "MET at 8, VIOLATED at 16",
    }
    return Search("knee", document | changes)


def test_a_probes_numbers_come_from_its_journal(tmp_path: Path) -> None:
    found = knee(searched(tmp_path), tmp_path)
    assert found is not None
    low, high = found.probes
    assert (low.level, low.state, low.good, low.judged, low.good_per_s) == (8, State.MET, 20, 20, 2.0)
    # None of 20 bad: the exact lower end is 0.025 to the power of a twentieth.
    assert low.good_low == pytest.approx(0.025 ** (1 / 20))
    assert (high.good, high.judged, high.good_per_s, high.completed_per_s) == (14, 20, 1.4, 1.9)
    assert high.tokens_per_s == pytest.approx(3.8)
    assert (found.low, found.violated, found.promise, found.problem) == (8, 16, 8, None)


def test_the_drawings_of_a_search_tell_their_numbers(tmp_path: Path) -> None:
    found = knee(searched(tmp_path), tmp_path)
    assert found is not None
    # 14 of 20 are good, 20 and 14 of them in 10 s.
    assert "probes: 8 MET with 100 %, 16 VIOLATED with 70 %;" in good_share_svg(found, "x")
    assert "probes: 8 MET with 2, 16 VIOLATED with 1.4;" in good_rate_svg(found, "x")


def test_where_the_knee_lies_is_said(tmp_path: Path) -> None:
    def said(**changes: Any) -> str:
        found = knee(searched(tmp_path, **changes), tmp_path)
        assert found is not None
        return lead(found)

    assert said() == (
        "The knee lies from 8 to below 16 users, at 95 % confidence. MET at 8, VIOLATED at 16. "
        "Promised: 8 users, MET."
    )
    assert said(violated=None, high=None).startswith("The knee is at 8 users or above, at 95 %")
    assert said(low=None).startswith("The knee is below 16 users, at 95 % confidence. ")
    assert said(low=None, violated=None).startswith("The knee was not found. ")


def test_a_probe_whose_journal_is_gone_has_its_state_only(tmp_path: Path) -> None:
    search = searched(tmp_path)
    (tmp_path / "capacity" / "knee" / "loads" / "probe-16.jsonl").unlink()
    found = knee(search, tmp_path)
    assert found is not None
    assert (found.probes[1].state, found.probes[1].good, found.probes[1].good_share) == (
        State.VIOLATED,
        None,
        None,
    )
    assert found.problem == "the journals of 1 of 2 probes cannot be read"


def test_a_document_of_another_shape_is_none(tmp_path: Path) -> None:
    assert knee(Search("knee", {"kind": "capacity"}), tmp_path) is None
    assert knee(searched(tmp_path, probes=[{"level": "many"}]), tmp_path) is None


def compared(folder: RunFolder, name: str = "candidate", **changes: Any) -> None:
    document: dict[str, Any] = {
        "figure": {"indicator": "e2e_s", "statistic": "p50"},
        "rule": {"false_alarm": 0.01, "tolerance": 0.25, "margin": 0.25},
        "simulated": False,
        "endpoints": {"a": {}, "b": {}},
        "change": "EQUIVALENT",
        "reason": "the difference lies within 25 %",
        "ratio": {"value": 0.96, "low": 0.83, "high": None},
        "requests": {"a": 216, "b": 200},
        "failed": {"a": 0, "b": 3},
        "pairs_more": None,
        "pairs": [{}, {}],
    }
    (folder.path / "trials" / name).mkdir(parents=True)
    folder.write_document(f"trials/{name}/comparison.json", document | changes)


def test_a_beside_b_is_told_once_with_its_interval_and_its_failures(met: RunBuilder) -> None:
    compared(met.folder)
    compared(met.folder, "odd", ratio=3)
    report = read_report(met.folder.path)
    (one,) = levels_view(report)["comparisons"]
    # Of the 1 % that the rule allows 0.2 are for failures: 2 · 0.8 % are the interval's.
    assert (one.ratio, one.interval) == ("0.96×", "[0.83, ∞] at 98.4 % confidence, at every look")
    assert (one.figure, one.change, one.equal) == ("E2E p50", "EQUIVALENT", "25 %")
    assert one.chart.caption == "2 pairs; failed: A 0 of 216 (0 %), B 3 of 200 (1.5 %)"
    assert any("trials/odd/comparison.json has another shape" in problem for problem in report.problems)
    assert Page(render(report)).text.count("98.4 %") == 1


@pytest.mark.parametrize("low", [0.0, None])
def test_a_ratio_without_a_lower_end_is_drawn_and_one_that_is_not_known_is_called_so(
    met: RunBuilder, low: float | None
) -> None:
    compared(met.folder, ratio={"value": None, "low": low, "high": None}, change="INCONCLUSIVE", pairs_more=9)
    (one,) = levels_view(read_report(met.folder.path))["comparisons"]
    assert (one.ratio, one.kind) == ("undefined", "inconclusive")
    assert one.reason.endswith("; about 9 more pairs would decide it")

"""Numbers on the pages against numbers worked out from the journal's lines by themselves (golden/truth.py).

The journal is text that no writer of ours made. Printed numbers have four digits: they are compared to 6e-4.
"""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from instruments.journal import load_run as read_journal
from instruments.slo import ServiceLevelObjective, evaluate
from instruments.statistics import summarize
from reports import load_run
from reports.allure_files.attached import records_csv
from reports.model import read_report
from reports.written import write_all
from tests.reports.golden import raw, truth
from tests.reports.golden.tables import Tables, interval, number
from tests.reports.runs import RunBuilder

NS = 1e9
SHARES = {"p50": Fraction(1, 2), "p90": Fraction(9, 10), "p95": Fraction(19, 20), "p99": Fraction(99, 100)}
WINDOW_S = (raw.END_NS - raw.START_NS) / NS
OBJECTIVES = (
    ("golden.ttft", {"indicator": "ttft_s", "statistic": "p95", "at_most": 0.45}),
    ("golden.tpot", {"indicator": "tpot_s", "statistic": "p50", "at_most": 0.05}),
    ("golden.errors", {"indicator": "error_share", "statistic": "share", "at_most": 0.2}),
    ("golden.lost", {"indicator": "errors", "statistic": "count", "at_most": 9.0}),
    (
        "golden.good",
        {"indicator": "goodput_share", "statistic": "share", "at_least": 0.5, "per_request": {"ttft_s": 0.3}},
    ),
)


class Golden:
    """One run, its pages, and the lines of its journal."""

    def __init__(self, path: Path) -> None:
        run = RunBuilder(path / "results" / "run-1")
        journal = run.folder.loads / "golden.jsonl"
        self.lines = raw.write_journal(journal)
        summary = summarize(read_journal(journal))
        for name, changes in OBJECTIVES:
            asked = ServiceLevelObjective(id=name, description="As asked", workload="golden", **changes)  # type: ignore[arg-type]
            run.folder.append_verdict(evaluate(summary, asked), journal, f"suites/a/test_a.py::test[{name}]")
            run.claim("passed", f"suites/a/test_a.py::test[{name}]")
        run.session()
        self.folder = run.folder.path
        write_all(read_report(self.folder))
        self.tables = Tables((self.folder / "report.html").read_text(encoding="utf-8"))
        self.document: dict[str, Any] = json.loads((self.folder / "verdict.json").read_text(encoding="utf-8"))

    def objectives(self) -> list[list[str]]:
        """Rows of the page's table that have numbers."""
        return [row for row in self.tables.of("Objectives")[1:] if len(row) == 8]

    def objective(self, name: str) -> dict[str, Any]:
        return next(one for one in self.document["objectives"] if one["id"] == name)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return Golden(tmp_path_factory.mktemp("golden"))


def near(expected: float | Fraction) -> Any:
    return pytest.approx(float(expected), rel=6e-4)


@pytest.mark.parametrize(
    ("label", "values", "cadence"),
    [("TTFT", truth.ttft_ns, False), ("E2E", truth.e2e_ns, False), ("TPOT", truth.tpot_ns, True)],
    ids=["TTFT", "E2E", "TPOT"],
)
def test_quantiles_are_ranks_of_what_the_journal_says(
    golden: Golden, label: str, values: Any, cadence: bool
) -> None:
    known, total = values(golden.lines), truth.counting(golden.lines, cadence=cadence)
    row = next(cells for cells in golden.tables.of("Quantiles of golden") if cells[0] == label)
    assert row[1] == f"{len(known)} of {total}"
    for cell, share in zip(row[2:], SHARES.values(), strict=True):
        expected = truth.at_share(known, total, share)
        if expected is None:  # so many failed that this rank has no value
            assert cell.startswith("–")
            continue
        assert number(cell) == near(expected / NS)
        # Correlation may widen an interval and never narrow it beyond what independent requests have.
        low, high = truth.ranks(total, float(share), 0.95)
        ends = interval(cell)
        assert ends[0] <= float(known[low]) / NS * 1.001
        assert ends[1] == float("inf") or ends[1] >= float(known[min(high, len(known)) - 2]) / NS * 0.999


def test_pooled_gaps_count_each_token_of_a_chunk(golden: Golden) -> None:
    for label, gaps in (
        ("ITL, pooled", truth.itl_ns(golden.lines)),
        ("chunk gaps, pooled", truth.chunk_gaps_ns(golden.lines)),
    ):
        row = golden.tables.row("Quantiles of golden", label)
        assert row[1].replace(",", "").replace("\u202f", "") == f"{len(gaps)} of {len(gaps)}"
        for cell, share in zip(row[2:], SHARES.values(), strict=True):
            expected = truth.at_share(gaps, len(gaps), share)
            assert expected is not None
            assert number(cell) == near(expected / NS)


def test_every_request_that_was_due_is_in_the_table_of_what_became_of_it(golden: Golden) -> None:
    rows = golden.tables.of("throughput-title")
    head, row = rows[0], next(cells for cells in rows if cells[0] == "golden")
    told = dict(zip(head, row, strict=True))
    counts = truth.outcomes(golden.lines)
    assert number(told["Due"]) == sum(counts.values()) == raw.REQUESTS
    assert number(told["Completed"]) == counts["COMPLETED"] == raw.REQUESTS - len(raw.FATES)
    for fate in raw.FATES.values():
        assert number(told[fate.lower().replace("_", " ").capitalize()]) == counts[fate] == 1
    sent = raw.REQUESTS - counts["NOT_SENT"]
    tokens = sum(one["completion_tokens"] for one in truth.completed(golden.lines))
    assert number(told["Sent /s"]) == near(sent / WINDOW_S)
    assert number(told["Completed /s"]) == near(counts["COMPLETED"] / WINDOW_S)
    assert number(told["Tokens /s"]) == near(tokens / WINDOW_S)
    assert told["Offered /s"] == "–"  # a closed loop asks for no rate


def test_verdict_json_has_the_values_that_the_journal_gives(golden: Golden) -> None:
    lines = golden.lines
    counted, bad = truth.counting(lines), raw.REQUESTS - 1 - truth.outcomes(lines)["COMPLETED"]
    ttft = golden.objective("golden.ttft")
    assert (ttft["requests"], ttft["trimmed"]) == (counted, 0)
    assert ttft["value"] == pytest.approx(
        float(truth.at_share(truth.ttft_ns(lines), counted, SHARES["p95"]) or 0) / NS
    )
    slow = sum(value > 0.45 * NS for value in truth.ttft_ns(lines))
    assert ttft["bad"] == slow + bad
    errors, lost = golden.objective("golden.errors"), golden.objective("golden.lost")
    assert errors["value"] == pytest.approx(bad / counted)
    assert (lost["value"], lost["state"]) == (bad, "MET")
    good = sum(value <= 0.3 * NS for value in truth.ttft_ns(lines))
    assert golden.objective("golden.good")["value"] == pytest.approx(good / counted)
    load = golden.document["loads"][0]
    assert load["outcomes"] == dict(truth.outcomes(lines))
    assert load["achieved_per_s"] == pytest.approx((raw.REQUESTS - 1) / WINDOW_S)


def test_the_page_prints_what_verdict_json_has(golden: Golden) -> None:
    """Of each objective: its state, its value, its interval, and what was bad of how many."""
    rows = {
        row[1].split()[-1] if "good:" not in row[1] else "golden.good": row for row in golden.objectives()
    }
    assert set(rows) == {name for name, _ in OBJECTIVES}
    for one in golden.document["objectives"]:
        row = rows[one["id"]]
        assert row[0].endswith(one["state"])
        assert number(row[4]) == near(one["value"])
        assert row[6].startswith(f"{one['bad']} of {one['requests']}")
        if one["low"] is not None:
            unit = " %" if "share" in one["indicator"] else " ms"
            ends = interval(f"0{unit} {row[5]}")
            assert ends == (near(one["low"]), near(one["high"]))


def test_the_drawn_distribution_counts_what_lies_below_each_point(golden: Golden) -> None:
    """And its band is exact: of one request in n the lower end is 1 − 0.975^(1/n)."""
    of = {"TTFT": truth.ttft_ns(golden.lines), "E2E": truth.e2e_ns(golden.lines)}
    n, seen = truth.counting(golden.lines), 0
    for point, count, share in golden.tables.of("Distributions of golden")[1:]:
        name, _, at = point.partition(" ≤ ")
        if name not in of:
            continue
        seen += 1
        # The point is printed with four digits: what lies within its last digit may be on either side.
        at_ns = number(at) * NS
        least, most = (sum(value <= at_ns * edge for value in of[name]) for edge in (0.9994, 1.0006))
        assert least <= int(count) <= most
        assert number(share.replace(" [", " % [")) == near(int(count) / n)
        if count == "1":
            assert interval(f"0 % {share}")[0] == near(1 - 0.975 ** (1 / n))
    assert seen > 20


def test_slices_of_time_add_up_to_the_whole(golden: Golden) -> None:
    rows = golden.tables.of("golden over time")
    at = rows[0].index
    slices = rows[1:]
    assert sum(int(row[at("Sent")]) for row in slices) == raw.REQUESTS - 1
    for fate in raw.FATES.values():
        column = at(fate.lower().replace("_", " ").capitalize())
        assert sum(int(row[column]) for row in slices) == 1, fate


def test_pandas_and_csv_say_the_same(golden: Golden) -> None:
    tables = load_run(golden.folder)
    measured = tables.requests[tables.requests["phase"] == "measured"]
    done = measured[measured["outcome"] == "COMPLETED"]
    ttft = sorted(round(value * NS) for value in done["ttft_s"])
    assert ttft == truth.ttft_ns(golden.lines)
    assert int(done["completion_tokens"].sum()) == sum(
        one["completion_tokens"] for one in truth.completed(golden.lines)
    )
    run = read_journal(golden.folder / "loads" / "golden.jsonl")
    told = [row for row in csv.DictReader(io.StringIO(records_csv(run))) if row["phase"] == "measured"]
    assert sorted(round(float(row["e2e_s"]) * NS) for row in told if row["e2e_s"]) == truth.e2e_ns(
        golden.lines
    )
    assert len(told) == raw.REQUESTS


def test_junit_ctrf_and_markdown_tell_of_every_claim_and_objective(golden: Golden) -> None:
    cases = list(ElementTree.parse(golden.folder / "junit.xml").getroot().iter("testcase"))  # noqa: S314
    assert len([case for case in cases if "golden." in (case.get("name") or "")]) == len(OBJECTIVES)
    ctrf = json.loads((golden.folder / "ctrf.json").read_text(encoding="utf-8"))
    assert ctrf["results"]["summary"]["tests"] == len(ctrf["results"]["tests"])
    summary = (golden.folder / "summary.md").read_text(encoding="utf-8")
    for name, _ in OBJECTIVES:
        assert name in summary

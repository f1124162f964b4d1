"""Claims of a page: cases of a test in a row, what failed apart from what passed, and room that is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.model import read_report
from reports.page import claims
from reports.page.claims import claims_view
from reports.page.room import FULL, Room
from tests.reports.runs import RunBuilder

TEST = "suites/latency/test_ttft.py::test_context"


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    return RunBuilder(tmp_path / "results" / "run-1")


def view(run: RunBuilder, room: Room = FULL) -> dict[str, Any]:
    return claims_view(read_report(run.session(exit_code=1).folder.path), room)


@pytest.mark.parametrize(
    ("nodeid", "parts"),
    [
        ("suites/a.py::test_b", ("suites/a.py", "test_b", "")),
        ("suites/a.py::test_b[x-1]", ("suites/a.py", "test_b", "[x-1]")),
        ("suites/a.py::TestC::test_b[x::y[0]]", ("suites/a.py", "TestC::test_b", "[x::y[0]]")),
        ("suites/a.py", ("suites/a.py", "suites/a.py", "")),
    ],
)
def test_a_node_id_is_a_file_a_test_and_a_case(nodeid: str, parts: tuple[str, str, str]) -> None:
    assert claims.test_of(nodeid) == parts


def test_cases_that_passed_are_one_row_with_the_range_of_their_durations(run: RunBuilder) -> None:
    for number, duration_s in enumerate((3.2, 0.42, 1.0)):
        run.claim("passed", f"{TEST}[{number}]", title=f"A prompt of {number}", duration_s=duration_s)
    (file,) = view(run)["passed_files"]
    (row,) = file.rows
    assert (row.title, row.counts, row.took) == ("A prompt of", "3 cases, all passed", "0.42–3.2 s")
    assert [case.label for case in row.cases] == ["[0]", "[1]", "[2]"]
    assert (file.claims, file.of, file.took) == (3, 3, "4.6 s")


def test_a_range_that_goes_over_a_minute_names_both_units(run: RunBuilder) -> None:
    for number, duration_s in enumerate((30.0, 125.0)):
        run.claim("passed", f"{TEST}[{number}]", duration_s=duration_s)
    assert view(run)["passed_files"][0].rows[0].took == "30.0 s to 2 min 05 s"


def test_cases_that_failed_are_apart_from_those_that_passed(run: RunBuilder) -> None:
    for number in range(5):
        outcome = "failed" if number in (1, 3) else "passed"
        run.claim(outcome, f"{TEST}[{number}]", reason="too late" if outcome == "failed" else "")
    run.claim("error", "suites/z.py::test_last", reason="no stack")
    found = view(run)
    first, second = found["failed_rows"]
    assert (first.test, first.told, first.counts) == ("test_last", "error", "")
    assert (second.test, second.counts) == ("test_context", "2 of 5 cases failed")
    assert [case.label for case in second.cases] == ["[1]", "[3]"]
    assert found["passed_files"][0].rows[0].counts == "3 of 5 cases passed"
    assert found["claim_counts"] == "1 ended in error, 2 failed, 3 passed of 6 claims"


def test_details_are_shown_as_long_as_there_is_room_with_what_pytest_said_last(run: RunBuilder) -> None:
    for number in range(4):
        run.claim("failed", f"suites/a.py::test_{number}", detail="<" * 5_000 + f"end {number}")
    # An escaped "<" is four bytes: 20,005 a detail, so that 50,000 are room for two.
    found = view(run, replace(FULL, details_characters=50_000))
    details = [row.cases[0].detail for row in found["failed_rows"]]
    assert [detail[-5:] for detail in details] == ["end 0", "end 1", "", ""]
    assert found["undetailed"] == 2


def test_cases_beyond_the_room_are_counted(run: RunBuilder) -> None:
    for number in range(10):
        run.claim("passed", f"{TEST}[{number}]")
    for number in range(4):
        run.claim("passed", f"suites/z.py::test_last[{number}]")
    first, second = view(run, replace(FULL, cases=12))["passed_files"]
    assert (len(first.rows[0].cases), first.rows[0].unlisted) == (10, 0)
    assert (len(second.rows[0].cases), second.rows[0].unlisted) == (2, 2)


def test_skips_are_by_reason_the_most_frequent_first(run: RunBuilder) -> None:
    for number in range(50):
        run.claim("skipped", f"suites/gpu.py::test_{number}", reason="no GPU")
    run.claim("skipped", "suites/a.py::test_tls", reason="no TLS")
    (gpu, tls) = view(run)["skips"]
    assert (gpu[0], gpu[1], len(gpu[2])) == ("no GPU", 50, 40)
    assert tls == ("no TLS", 1, ["suites/a.py::test_tls"])


def test_a_test_that_fails_and_then_ends_in_error_keeps_what_was_said_of_each(run: RunBuilder) -> None:
    nodeid = "suites/a.py::test_a"
    run.claim("failed", nodeid, reason="assert 1 == 2", detail="the assertion")
    run.claim("error", nodeid, reason="StackDied", detail="the end of the stack")
    found = view(run)
    (row,) = found["failed_rows"]
    assert [(case.told, case.detail) for case in row.cases] == [
        ("error", "the end of the stack"),
        ("failed", "the assertion"),
    ]
    assert found["undetailed"] == 0

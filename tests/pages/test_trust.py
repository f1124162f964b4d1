"""Whether a run can be trusted: each line rests on numbers that were worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instruments.slo import State
from instruments.telemetry.record import NOWHERE
from reports.model import SessionReport, read_report
from reports.page.trust import Line, client_rows, timed_limits, trust_lines
from tests.reports.runs import MS, RunBuilder, even_load, law, objective

CALIBRATION: dict[str, Any] = {
    "run_id": "run-1",
    "created_at": "2026-11-21T06:00:05+00:00",
    "machine": {"cpu": "x"},
    "streams": 4,
    "processes": 1,
    "error_p99_s": 0.003,
}


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    return RunBuilder(tmp_path / "results" / "run-1")


def read(run: RunBuilder, **session: Any) -> SessionReport:
    return read_report(run.session(**session).folder.path)


def line(report: SessionReport, name: str) -> Line:
    return next(one for one in trust_lines(report, client_rows(report)) if one.name == name)


def test_the_clients_error_stands_beside_the_limit_on_which_it_weighs_most(run: RunBuilder) -> None:
    # Sent 30 ms late, each of them: beside 1.2 s that is 2.5 %, beside 0.6 s on the same load 5 %.
    late = [replace(record, due_ns=record.due_ns - 30 * MS) for record in even_load()]
    journal = run.load("late", late)
    run.judge(journal, objective())
    run.judge(journal, objective(id="half", statistic="p50", at_most=0.6))
    run.judge(run.load("prompt", even_load()), objective(id="tight", statistic="p50", at_most=0.51))
    told = line(read(run), "client's own error")
    assert told.text == "at most 30 ms (p99) beside a limit of 600 ms on TTFT p50: 5 % of it"
    assert told.kind == "met"


def test_a_client_that_is_late_by_more_than_half_of_a_limit_is_doubted(run: RunBuilder) -> None:
    late = [replace(record, due_ns=record.due_ns - 30 * MS) for record in even_load()]
    run.judge(run.load("late", late), objective(at_most=0.05))
    assert line(read(run), "client's own error").kind == "inconclusive"


def test_a_limit_on_tpot_bears_more_and_one_on_shares_has_none() -> None:
    assert timed_limits(objective()) == [(1.2, "TTFT p95")]
    assert timed_limits(objective(indicator="tpot_s", at_most=0.05)) == []
    assert timed_limits(objective(indicator="errors", statistic="count", at_most=0)) == []
    good = objective(
        indicator="goodput_share",
        statistic="share",
        at_most=None,
        at_least=0.9,
        per_request={"ttft_s": 0.5, "tpot_s": 0.05},
    )
    assert timed_limits(good) == [(0.5, "TTFT of a good request")]


def test_a_cut_journal_leaves_the_clients_error_unknown(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load(), end=False), objective())
    told = line(read(run), "client's own error")
    assert (told.kind, told.text) == ("inconclusive", "not known on 1 of 1 load with a limit on time")


@pytest.mark.parametrize(
    ("gate", "calibration", "kind", "text"),
    [
        (False, None, "plain", "none was made (a gate asks for one)"),
        (True, None, "inconclusive", "none was made"),
        (True, CALIBRATION, "met", "made in this session for 1 of 1 load"),
        (
            False,
            CALIBRATION | {"run_id": "run-0"},
            "plain",
            "fresh for 0 of 1 load; elsewhere it was made in the session run-0 (a gate asks for one)",
        ),
    ],
)
def test_a_calibration_is_fresh_or_says_why_not(
    run: RunBuilder, gate: bool, calibration: dict[str, Any] | None, kind: str, text: str
) -> None:
    run.judge(run.load("chat-10", even_load(), calibration=calibration), objective())
    run.folder.write_document("fingerprint.json", {"cpu": "x"})
    told = line(read(run, gate=gate, expected=("chat.ttft",)), "calibration")
    assert (told.kind, told.text) == (kind, text)


@pytest.mark.parametrize(
    ("states", "kind", "text"),
    [
        ((State.MET, State.MET), "met", "2 of 2 kept"),
        ((State.MET, State.INCONCLUSIVE), "inconclusive", "1 of 2 kept, 0 broken, 1 undecided"),
        ((State.VIOLATED, State.INCONCLUSIVE), "violated", "0 of 2 kept, 1 broken, 1 undecided"),
    ],
)
def test_laws_are_counted(run: RunBuilder, states: tuple[State, State], kind: str, text: str) -> None:
    for number, state in enumerate(states):
        run.folder.append_law(law(state, law=f"law-{number}"))
    told = line(read(run), "conservation laws")
    assert (told.kind, told.text) == (kind, text)


def test_a_server_that_could_not_be_asked_is_a_reason_to_doubt(run: RunBuilder) -> None:
    for name, problems in (("one", ()), ("two", ("no answer for 41 s",))):
        run.load(name, even_load())
        run.server(name, problems=problems)
    told = line(read(run, telemetry="Prometheus"), "server's numbers")
    assert (told.kind, told.text) == (
        "inconclusive",
        "from Prometheus, around 2 of 2 loads, 1 of them with gaps",
    )
    run.server("two")
    assert line(read(run, telemetry="Prometheus"), "server's numbers").kind == "met"


def test_a_server_that_was_asked_around_some_loads_only_is_no_ground_to_trust_all(run: RunBuilder) -> None:
    for name in ("one", "two"):
        run.load(name, even_load())
    run.server("one")
    told = line(read(run, telemetry="Prometheus"), "server's numbers")
    assert (told.kind, told.text) == ("plain", "from Prometheus, around 1 of 2 loads")
    run.server("one", source=NOWHERE, problems=("Prometheus was down",))
    told = line(read(run, telemetry="Prometheus"), "server's numbers")
    assert (told.kind, told.text) == ("inconclusive", "from Prometheus, around 0 of 2 loads")
    (run.folder.loads / "one.server.json").unlink()
    assert (
        line(read(run, telemetry="Prometheus"), "server's numbers").text
        == "from Prometheus, around 0 of 2 loads"
    )


def test_a_load_that_the_client_disturbed_is_named_however_small_its_error_is_beside_the_limit(
    run: RunBuilder,
) -> None:
    # Sent half a second late, of a limit of 60 s: less than a hundredth of it, and still void.
    late = [replace(record, due_ns=record.due_ns - 500 * MS) for record in even_load()]
    run.judge(run.load("late", late), objective(at_most=60.0))
    run.load("well", even_load())
    report = read(run)
    assert line(report, "client's own error").kind == "met"
    told = line(report, "void")
    assert (told.kind, told.text) == ("inconclusive", "the client disturbed 1 of 2 loads: late")


def test_a_client_that_did_not_check_itself_has_no_error(run: RunBuilder) -> None:
    run.load("chat-10", even_load(), end=False)
    (row,) = client_rows(read(run))
    assert (row.error_s, row.limit_s, row.share) == (None, None, None)

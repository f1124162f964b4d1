"""Reading a run: verdicts come from the journals again, and bad runs are told as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instruments.errors import JournalError
from instruments.slo import State
from reports.model import read_report
from reports.overall import Overall
from tests.reports.runs import CLAIM, RunBuilder, answered, even_load, failed, objective


def test_a_met_run_is_met_and_has_the_numbers_of_its_journal(met: RunBuilder) -> None:
    report = read_report(met.folder.path)
    (one,) = report.verdicts
    assert (report.state, report.exit_code, report.problems) == (Overall.MET, 0, ())
    assert (one.verdict.value, one.verdict.low, one.verdict.high) == (0.95, 0.9, 0.99)
    assert (one.verdict.requests, one.verdict.bad) == (100, 0)


def test_a_stored_verdict_that_its_journal_contradicts_is_shown_and_does_not_pass(run: RunBuilder) -> None:
    journal = run.load("chat-10", even_load())
    run.judge(journal, objective())
    run.load("chat-10", [failed(index) for index in range(100)])
    report = read_report(run.claim("passed").session().folder.path)
    assert report.state is Overall.VIOLATED
    assert any("stored and recomputed verdict differ in state: stored MET" in one for one in report.problems)


def test_a_stored_violation_is_not_healed_by_a_better_journal(run: RunBuilder) -> None:
    journal = run.load("chat-10", [failed(index) for index in range(100)])
    run.judge(journal, objective())
    run.load("chat-10", even_load())
    report = read_report(run.claim("failed").session(exit_code=10).folder.path)
    assert report.state is Overall.VIOLATED
    assert "stored as VIOLATED; its journal now gives MET" in report.reason


def test_a_verdict_without_its_journal_is_not_claimed(met: RunBuilder) -> None:
    (met.folder.loads / "chat-10.jsonl").unlink()
    report = read_report(met.folder.path)
    assert report.state is Overall.INCONCLUSIVE
    assert report.verdicts[0].state is State.INCONCLUSIVE
    assert "loads/chat-10.jsonl is missing or cannot be read" in report.reason


HEAD = '{"kind":"run","schema":1,"name":"x","description":{},"anchor":{"monotonic_ns":0,"unix_ns":0}}\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a journal\n",
        "[1, 2]\n",
        '{"kind": "run", "schema": 1, "name": "x"}\n',
        HEAD + '{"kind":"request","outcome":"NO_SUCH"}\n',
        HEAD.replace("{}", '"chat"'),
    ],
)
def test_a_journal_that_cannot_be_read_is_a_named_problem(met: RunBuilder, text: str) -> None:
    (met.folder.loads / "broken.jsonl").write_text(text)
    report = read_report(met.folder.path)
    assert [problem for problem in report.problems if problem.startswith("loads/broken.jsonl cannot be read")]
    assert [load.journal for load in report.loads] == ["loads/chat-10.jsonl"]


def test_a_journal_cut_in_the_middle_keeps_its_records_and_decides_nothing(run: RunBuilder) -> None:
    journal = run.load("chat-10", even_load(), end=False)
    data = journal.read_bytes()
    journal.write_bytes(data[: data.rindex(b'{"kind":"request"') + 30])  # the 100th record is torn
    run.judge(journal, objective())
    report = read_report(run.session(finished_at=None, exit_code=None).folder.path)
    assert report.state is Overall.INCONCLUSIVE
    assert report.loads[0].summary.completed == 99
    assert any("cut off" in problem for problem in report.problems)


def test_an_empty_run_measured_nothing(run: RunBuilder) -> None:
    report = read_report(run.session(exit_code=12).folder.path)
    assert (report.state, report.exit_code) == (Overall.NOTHING_MEASURED, 12)


def test_a_run_killed_before_any_journal_measured_nothing_and_says_that_it_never_finished(
    run: RunBuilder,
) -> None:
    report = read_report(run.session(finished_at=None, exit_code=None).folder.path)
    assert report.state is Overall.NOTHING_MEASURED
    assert "never finished" in report.reason


def test_a_run_in_which_everything_failed_is_violated_and_has_no_latency(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [failed(index) for index in range(60)]), objective())
    report = read_report(run.claim("failed").session(exit_code=10).folder.path)
    assert (report.state, report.exit_code) == (Overall.VIOLATED, 10)
    assert report.verdicts[0].verdict.value is None
    assert "is undefined (too few requests have one)" in report.reason


def test_only_skipped_claims_measured_nothing(run: RunBuilder) -> None:
    run.claim("skipped", reason="no GPU").claim("skipped", "suites/x.py::test_b", reason="no GPU")
    report = read_report(run.session(exit_code=12).folder.path)
    assert report.state is Overall.NOTHING_MEASURED
    assert {reason: len(claims) for reason, claims in report.skip_reasons().items()} == {"no GPU": 2}


@pytest.mark.parametrize("name", ["claims.jsonl", "verdicts.jsonl", "incidents.jsonl"])
@pytest.mark.parametrize("line", ['{"torn', '{"of": "another shape"}', "[]"])
def test_a_line_that_cannot_be_read_takes_the_pass_away(met: RunBuilder, name: str, line: str) -> None:
    with (met.folder.path / name).open("a") as file:
        file.write(line + "\n")
    report = read_report(met.folder.path)
    assert report.state is not Overall.MET
    assert any(problem.startswith(name) for problem in report.problems)


def test_other_objectives_are_judged_on_the_loads_of_their_workload(met: RunBuilder) -> None:
    stricter = objective(id="stricter", at_most=0.5)
    report = read_report(met.folder.path, {"stricter": stricter}, objectives_from="o.yaml")
    (one,) = report.verdicts
    # 50 of 100 answers took longer than 500 ms where 5 may.
    assert (one.verdict.bad, one.state, one.claim) == (50, State.VIOLATED, None)
    assert report.state is Overall.VIOLATED


def test_other_objectives_forgive_what_failed_only_for_the_sessions_own(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective(at_most=0.5))
    run.claim("failed").session(exit_code=10)
    assert read_report(run.folder.path).state is Overall.VIOLATED
    assert read_report(run.folder.path, {"chat.ttft": objective()}).state is Overall.MET


def test_other_objectives_do_not_forgive_a_session_that_failed(run: RunBuilder) -> None:
    """Its claims are gone: only the code that it ended with knows of them."""
    run.load("chat-10", even_load())
    report = read_report(run.session(exit_code=1).folder.path, {"chat.ttft": objective()})
    assert report.state is Overall.FAILED
    assert "exit code 1" in report.reason


def test_a_claim_that_failed_beside_a_met_objective_failed_by_itself(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    report = read_report(run.claim("failed", reason="the answer was empty").session(exit_code=1).folder.path)
    assert report.state is Overall.FAILED
    assert "the answer was empty" in report.reason


def test_an_objective_without_a_load_of_its_workload_is_inconclusive(met: RunBuilder) -> None:
    report = read_report(met.folder.path, {"x": objective(id="x", workload="elsewhere")})
    assert report.state is Overall.INCONCLUSIVE
    assert "no load of the workload 'elsewhere'" in report.reason


def test_a_folder_that_is_not_a_runs_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="is not the folder of a run"):
        read_report(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "run_id": "x"}))
    with pytest.raises(JournalError, match="another shape"):
        read_report(tmp_path)


def test_a_client_that_measured_itself_is_inconclusive(run: RunBuilder) -> None:
    # A TTFT of 1 ms and the client's loop lag of 1 ms may together be over a limit of 1.9 ms.
    run.judge(run.load("chat-10", [answered(i, 1) for i in range(100)]), objective(at_most=0.0019))
    report = read_report(run.claim("failed", CLAIM).session(exit_code=11).folder.path)
    assert report.state is Overall.INCONCLUSIVE
    assert "the client was late by 0.001 s" in report.reason

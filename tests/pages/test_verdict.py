"""The top of the page: the answer and its grounds, the gravest first, in at most six lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruments.results import IncidentRecord
from instruments.slo import State
from reports.model import SessionReport, read_report
from reports.overall import Overall
from reports.page.verdict import MOST_LINES, Ground, answer, cut_evenly, facts, verdict_view, why
from tests.pages.edges import build
from tests.reports.runs import RunBuilder, answered, even_load, law, objective
from tests.reports.states import STATES, Make


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    return RunBuilder(tmp_path / "results" / "run-1")


def edge(name: str, folder: Path) -> SessionReport:
    return read_report(build(name, folder))


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("met", "Not on this run alone: what was judged is met"),
        ("simulated", "Not on this run: no model was behind its numbers."),
        ("violated", "No. A required objective or a conservation law is broken."),
        ("inconclusive", "No. This run cannot tell."),
        ("empty", "No. Nothing was measured."),
        ("cut", "No. This run cannot tell."),
        ("gate-with-gaps", "No. This run cannot tell."),
    ],
)
def test_the_answer_is_yes_only_where_it_may_be(name: str, begins: str, tmp_path: Path) -> None:
    assert answer(edge(name, tmp_path)).startswith(begins)


@pytest.mark.parametrize(("make", "state"), STATES)
def test_no_run_without_a_gate_that_is_met_says_yes(run: RunBuilder, make: Make, state: Overall) -> None:
    make(run)
    report = read_report(run.folder.path)
    assert report.state is state
    assert answer(report).startswith("Not on " if state in (Overall.MET, Overall.CLAIMS_HOLD) else "No. ")
    assert verdict_view(report)["why_title"] != "Why"


def test_only_advice_was_judged_and_nobody_says_that_nothing_was(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective(at_most=0.5, required=False))
    report = read_report(run.claim("passed").session().folder.path)
    assert answer(report) == "Not on this run: no required objective was judged."
    assert [one.kind for one in why(report)] == ["met", "violated"]


def test_a_claim_that_the_data_leave_undecided_is_not_marked_as_failed(run: RunBuilder) -> None:
    run.claim("failed", reason="INCONCLUSIVE: too noisy to tell").claim(
        "failed", "suites/b.py::t", reason="no"
    )
    lines = why(read_report(run.session(exit_code=1).folder.path))
    assert [(one.kind, one.text) for one in lines] == [
        ("failed", "failed: no"),
        ("inconclusive", "undecided: too noisy to tell"),
    ]


def test_a_law_that_a_test_asked_for_and_nobody_could_check_is_told_without_a_gate(run: RunBuilder) -> None:
    run.folder.append_law(law(State.INCONCLUSIVE, reason="Prometheus was down"))
    run.claim("failed", reason="INCONCLUSIVE: generation-tokens on chat-4: Prometheus was down")
    report = read_report(run.session(exit_code=11).folder.path)
    assert report.state is Overall.INCONCLUSIVE
    assert [one.text for one in why(report)] == ["generation-tokens on chat-4; Prometheus was down"]


def test_a_law_that_nobody_asked_for_speaks_against_nothing(run: RunBuilder) -> None:
    run.folder.append_law(law(State.INCONCLUSIVE))
    report = read_report(run.claim("passed").session().folder.path)
    assert [one.href for one in why(report)] == ["#claims"]


def test_judged_later_its_own_objectives_are_what_is_counted(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session(gate=True, expected=tuple("abcdefgh"))
    folder = run.folder.path
    assert ("required objectives met", "0 of 9") in facts(read_report(folder))
    later = read_report(folder, {"x": objective(id="x", required=True)}, objectives_from="other.yaml")
    assert ("required objectives met", "0 of 1") in facts(later)
    assert not answer(later).startswith("Yes")


def test_only_a_gate_says_yes(run: RunBuilder) -> None:
    calibration = {
        "run_id": "run-1",
        "created_at": "2026-11-21T06:00:05+00:00",
        "machine": {"cpu": "x"},
        "streams": 4,
        "processes": 1,
        "error_p99_s": 0.001,
    }
    run.judge(run.load("chat-10", even_load(), calibration=calibration), objective())
    run.folder.write_document("fingerprint.json", {"cpu": "x"})
    run.claim("passed").session(gate=True, expected=("chat.ttft",))
    report = read_report(run.folder.path)
    assert answer(report) == "Yes. A gate found every required objective met."
    assert verdict_view(report)["why_title"] == "Why"
    later = read_report(run.folder.path, {"chat.ttft": objective()}, objectives_from="other.yaml")
    assert answer(later).startswith("Not on this page alone: ")


def test_why_yes_names_the_objective_that_is_closest_to_its_limit(tmp_path: Path) -> None:
    (objectives, claims) = why(edge("met", tmp_path))
    # 1.2 s over 0.95 s is 1.26; of five claims four passed.
    assert objectives.text == (
        "all 1 required objective met; closest to its limit: "
        "TTFT p95 (chat.ttft) with 0.95 s [0.9, 0.99], limit ≤ 1.2 s, headroom 1.26×"
    )
    assert claims.text == "4 of 5 passed, 1 skipped"


def test_what_is_broken_comes_before_what_is_undecided_and_advice_comes_last(run: RunBuilder) -> None:
    few = run.load("few", [answered(index, 10 * (index + 1)) for index in range(10)])
    journal = run.load("chat-10", even_load())
    run.judge(journal, objective(id="advice", at_most=0.4, required=False))
    run.judge(few, objective(id="open"))
    run.judge(journal, objective(id="broken", at_most=0.5), claim="suites/a.py::test_broken")
    run.folder.append_law(law(State.VIOLATED, expected="11", seen="10"))
    run.folder.append_incident(IncidentRecord("now", "gateway", "exit code 137", ""))
    run.claim("failed", "suites/a.py::test_broken", title="Told as its objective")
    run.claim("error", "suites/b.py::test_stack", title="The stack starts", reason="no port")
    lines = why(read_report(run.session(exit_code=1).folder.path))
    assert [line.head for line in lines] == [
        "TTFT p95 (broken)",
        "The stack starts",
        "Conservation law",
        "TTFT p95 (open)",
        "Incident: gateway",
        "TTFT p95 (advice)",
    ]
    # 0.95 s is the 95th of 100; an undecided one says why, without what stands in brackets and after.
    assert lines[0].text == "violated with 950 ms [900, 990], limit ≤ 500 ms"
    assert lines[1].text == "ended in error: no port"
    assert lines[3].text.startswith("inconclusive with 0.1 s, limit ≤ 1.2 s – too few")
    assert lines[5].text.startswith("advisory, violated with ")
    assert [line.href for line in lines] == [
        "#objective-1", "#claims", "#laws", "#objective-2", "#incidents", "#objective-3",
    ]  # fmt: skip


def test_of_many_each_kind_keeps_a_line_and_says_how_many_it_stands_for() -> None:
    def lines(kind: str, count: int) -> list[Ground]:
        return [Ground(kind, "✕", kind, f"{kind}{number}", "#") for number in range(count)]

    cut = cut_evenly([lines("a", 9), [], lines("b", 1), lines("c", 3)], MOST_LINES)
    # Six lines for 9, 1 and 3: one each, then a second of a and c, then a third of a.
    assert [line.text for line in cut] == ["a0", "a1", "a2 – and 6 more", "b0", "c0", "c1 – and 1 more"]
    assert len(cut_evenly([lines(str(kind), 2) for kind in range(9)], MOST_LINES)) == MOST_LINES
    assert cut_evenly([[], []], MOST_LINES) == []

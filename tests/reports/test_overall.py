"""The table of overall states: which rule wins, and the exit code of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from instruments.results import ClaimRecord, SessionRecord
from instruments.slo import State, Verdict
from reports.exit_codes import VerdictExit
from reports.judged import Judged
from reports.laws import Law
from reports.overall import Evidence, Overall, decide
from tests.reports.runs import objective


def claim(outcome: str, nodeid: str = "t.py::a") -> ClaimRecord:
    return ClaimRecord(nodeid, "A claim", outcome, 0.1, reason="because")


def judged(state: State, *, required: bool = True) -> Judged:
    verdict = Verdict(objective(required=required), "load", state, "the evidence", 100, 0, 0.5)
    return Judged(verdict, state, verdict.reason, "loads/x.jsonl", "t.py::a")


def session(**changes: Any) -> SessionRecord:
    given: dict[str, Any] = {"run_id": "r", "started_at": "s", "environment": "e", "finished_at": "f"}
    return SessionRecord(**given | changes)


PASSED, FAILED, ERROR, SKIPPED = (claim(outcome) for outcome in ("passed", "failed", "error", "skipped"))
CANNOT_TELL = replace(claim("failed", "t.py::b"), reason="INCONCLUSIVE: too noisy to tell")
MET, VIOLATED, INCONCLUSIVE = (judged(state) for state in State)


@pytest.mark.parametrize(
    ("claims", "verdicts", "expected"),
    [
        ([PASSED], [MET], Overall.MET),
        ([PASSED], [], Overall.CLAIMS_HOLD),
        ([PASSED, FAILED], [VIOLATED], Overall.FAILED),
        ([PASSED, ERROR], [MET], Overall.FAILED),
        ([PASSED], [INCONCLUSIVE, VIOLATED], Overall.VIOLATED),
        ([PASSED], [INCONCLUSIVE, MET], Overall.INCONCLUSIVE),
        ([PASSED], [judged(State.VIOLATED, required=False)], Overall.CLAIMS_HOLD),
        ([PASSED], [judged(State.VIOLATED, required=False), MET], Overall.MET),
        ([PASSED, CANNOT_TELL], [MET], Overall.INCONCLUSIVE),
        ([PASSED, CANNOT_TELL, FAILED], [MET], Overall.FAILED),
        ([PASSED, CANNOT_TELL], [VIOLATED], Overall.VIOLATED),
        ([PASSED, replace(CANNOT_TELL, outcome="error")], [MET], Overall.FAILED),
        ([SKIPPED], [], Overall.NOTHING_MEASURED),
        ([], [], Overall.NOTHING_MEASURED),
    ],
)
def test_the_first_rule_that_holds_decides(
    claims: list[ClaimRecord], verdicts: list[Judged], expected: Overall
) -> None:
    assert decide(Evidence(session(), claims, verdicts))[0] is expected


@pytest.mark.parametrize(("outcome", "expected"), [("failed", Overall.VIOLATED), ("error", Overall.FAILED)])
def test_a_claim_that_failed_for_its_objective_is_counted_as_the_objective(
    outcome: str, expected: Overall
) -> None:
    explained = frozenset({"t.py::a"})
    evidence = Evidence(session(), [claim(outcome)], [VIOLATED], explained=explained)
    assert decide(evidence)[0] is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"finished_at": None}, Overall.INTERRUPTED),
        ({"exit_code": 2}, Overall.INTERRUPTED),
        ({"exit_code": 3}, Overall.FAILED),
        ({"exit_code": 5}, Overall.NOTHING_MEASURED),
        ({"exit_code": 12}, Overall.NOTHING_MEASURED),
        ({"gate": True, "simulated": True}, Overall.INCONCLUSIVE),
        ({"gate": True}, Overall.INCONCLUSIVE),
        ({"gate": True, "expected": ("chat.ttft",)}, Overall.MET),
        ({"gate": True, "expected": ("chat.ttft", "chat.tpot")}, Overall.INCONCLUSIVE),
        ({"expected": ("chat.ttft", "chat.tpot")}, Overall.MET),
        ({"simulated": True}, Overall.MET),
        ({"exit_code": 0}, Overall.MET),
    ],
)
def test_a_session_that_did_not_end_well_is_not_met(changes: dict[str, Any], expected: Overall) -> None:
    assert decide(Evidence(session(**changes), [PASSED], [MET]))[0] is expected


def test_each_state_has_its_exit_code_and_0_is_for_what_holds() -> None:
    assert {state: int(state.exit_code) for state in Overall} == {
        Overall.MET: 0,
        Overall.CLAIMS_HOLD: 0,
        Overall.FAILED: 1,
        Overall.INTERRUPTED: 2,
        Overall.VIOLATED: 10,
        Overall.INCONCLUSIVE: 11,
        Overall.NOTHING_MEASURED: 12,
    }
    assert int(VerdictExit.UNREADABLE) == 2


def test_the_reason_says_how_many_more_there_are() -> None:
    reason = decide(Evidence(session(), [PASSED], [INCONCLUSIVE, MET, INCONCLUSIVE, INCONCLUSIVE]))[1]
    assert reason.startswith("3 of 4 required objectives undecided: TTFT p95 (chat.ttft) is 0.5 s")
    assert reason.endswith("the evidence; and 2 more")
    unkept = [Law(name, "load", State.VIOLATED, "because") for name in ("requests", "drained")]
    reason = decide(Evidence(session(), [PASSED], [MET], laws=unkept))[1]
    assert reason == "2 of 2 conservation laws violated: requests on load; because; and 1 more"


def test_the_reason_names_the_objective_its_value_and_its_limit() -> None:
    assert decide(Evidence(session(), [PASSED], [VIOLATED]))[1] == (
        "1 of 1 required objective violated: TTFT p95 (chat.ttft) is 0.5 s, limit ≤ 1.2 s; the evidence"
    )

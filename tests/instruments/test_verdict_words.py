"""A verdict says what it rests on; whoever requires it to be met gets an exception that says why not."""

from __future__ import annotations

from typing import Any

import pytest

from instruments.records import Outcome
from instruments.slo import ServiceLevelObjective, State, Verdict
from instruments.slo.goodput import is_good
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated, VerdictError
from tests.instruments.shapes import record

TTFT = ServiceLevelObjective("a", "d", "w", "ttft_s", "p95", at_most=0.5)
GOODPUT = ServiceLevelObjective(
    "g", "d", "w", "goodput_share", "share", at_least=0.9, per_request={"ttft_s": 1.0}
)


def verdict(state: State, objective: ServiceLevelObjective = TTFT, **fields: Any) -> Verdict:
    return Verdict(objective, "a-run", state, "because", 100, 7, **fields)


def test_met_raises_nothing() -> None:
    verdict(State.MET).require_met()


@pytest.mark.parametrize(
    ("state", "kind"), [(State.VIOLATED, ObjectiveViolated), (State.INCONCLUSIVE, ObjectiveInconclusive)]
)
def test_anything_else_raises_its_own_kind_with_the_evidence(state: State, kind: type[VerdictError]) -> None:
    with pytest.raises(kind) as caught:
        verdict(state, value=0.625, low=0.5, high=None, requests_more=12).require_met()
    assert str(caught.value).splitlines() == [
        f"{state}: a: because",
        "  expected: TTFT p95 ≤ 0.5 s at 95% confidence",
        "  seen:     0.625 s [0.5, ∞], 7 of 100 requests bad",
        "  try:      12 more requests would decide it",
    ]


def test_an_undefined_value_is_printed_as_a_dash_and_never_as_0() -> None:
    assert verdict(State.VIOLATED).measured() == "–, 7 of 100 requests bad"


@pytest.mark.parametrize(
    ("objective", "value", "headroom"),
    [(TTFT, 0.25, 2.0), (TTFT, 1.0, 0.5), (TTFT, None, None), (TTFT, 0.0, None), (GOODPUT, 0.99, 1.1)],
)
def test_headroom_is_above_one_on_the_good_side_of_a_limit(
    objective: ServiceLevelObjective, value: float | None, headroom: float | None
) -> None:
    assert verdict(State.MET, objective, value=value).headroom == pytest.approx(headroom)


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ({}, True),
        ({"ttft_s": 1.0}, True),  # at the limit is within it
        ({"ttft_s": 0.999}, False),
        ({"ttft_s": 1.0, "tpot_s": 1.0, "e2e_s": 3.0}, True),
        ({"ttft_s": 1.0, "tpot_s": 0.9, "e2e_s": 3.0}, False),
    ],
)
def test_a_request_is_good_when_it_meets_every_limit(limits: dict[str, float], good: bool) -> None:
    assert is_good(record(ttft=1, span=2, tokens=3), limits) is good


def test_a_request_that_did_not_complete_is_never_good() -> None:
    for outcome in Outcome:
        assert is_good(record(outcome=outcome), {}) is (outcome is Outcome.COMPLETED)


def test_one_token_meets_every_limit_on_cadence_and_an_unknown_number_none() -> None:
    assert is_good(record(tokens=1), {"tpot_s": 0.001})
    assert not is_good(record(tokens=None), {"tpot_s": 1_000})

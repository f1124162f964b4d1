"""Bounded figures: what medians of pairs and shares of counts say beside a bound."""

from __future__ import annotations

import math

import pytest

from instruments.records import Outcome, Phase, RequestRecord
from instruments.slo.bounded import Bounded, ratios
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated, State
from instruments.statistics.indicators import ttft_s

NINE = [3.0, 1.0, 2.0, 9.0, 4.0, 5.0, 6.0, 7.0, 8.0]


def test_the_median_of_nine_lies_between_the_second_and_the_eighth() -> None:
    # P(B <= 1) of a binomial(9, 1/2) is 10/512 = 1.95 %, within the 2.5 % of a tail; P(B <= 2) is 46/512.
    found = Bounded.median("the gateway adds", NINE, "ms")
    assert found.value == 5
    assert found.interval == (2, 8)
    assert found.measured() == "5 ms [2, 8], 9 pairs"


@pytest.mark.parametrize(
    ("bound", "state"), [(8.0, State.MET), (1.9, State.VIOLATED), (5.0, State.INCONCLUSIVE)]
)
def test_the_interval_decides_and_not_the_value(bound: float, state: State) -> None:
    assert Bounded.median("", NINE, "ms").beside(bound) is state


def test_one_hang_does_not_change_the_answer() -> None:
    assert Bounded.median("", [*NINE[:-1], 60_000.0], "ms").beside(9.0) is State.MET


def test_five_pairs_say_nothing() -> None:
    # 2 · (1/2)^5 = 6.25 % is more than may be missed.
    found = Bounded.median("", NINE[:5], "ms")
    assert found.interval is None
    assert found.beside(1000.0) is State.INCONCLUSIVE


def test_nothing_seen_is_no_pass() -> None:
    assert Bounded.median("", [], "ms").beside(1.0) is State.INCONCLUSIVE
    assert Bounded.share("", 0, 0, "streams").beside(1.0) is State.INCONCLUSIVE
    assert Bounded.share("", 0, 0, "streams").measured() == "–, 0 of 0 streams"


def test_no_stall_in_seventy_three_streams_proves_a_share_below_a_twentieth() -> None:
    # 0.95^73 = 2.4 % < 2.5 %, and 0.95^71 = 2.6 %.
    assert Bounded.share("", 0, 73, "streams").beside(0.05) is State.MET
    assert Bounded.share("", 0, 71, "streams").beside(0.05) is State.INCONCLUSIVE


@pytest.mark.parametrize(("bound", "kind"), [(1.0, ObjectiveViolated), (5.0, ObjectiveInconclusive)])
def test_each_state_has_its_own_error_with_numbers(bound: float, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="the gateway adds") as caught:
        Bounded.median("the gateway adds", NINE, "ms").require_at_most(bound)
    assert f"at most {bound:g} ms" in str(caught.value)
    assert "[2, 8], 9 pairs" in str(caught.value)


def test_what_is_kept_raises_nothing() -> None:
    Bounded.median("", NINE, "ms").require_at_most(8.0)


def asked(
    scenario: str, due_ns: int, first_token_ns: int | None, outcome: Outcome = Outcome.COMPLETED
) -> RequestRecord:
    return RequestRecord(
        0,
        "r",
        0,
        Phase.MEASURED,
        outcome,
        due_ns,
        sent_ns=0,
        first_token_ns=first_token_ns,
        scenario=scenario,
    )


def test_ratios_are_of_neighbours_in_the_order_of_sending() -> None:
    records = [asked("b", 4, 100), asked("a", 3, 700), asked("b", 2, 200), asked("a", 1, 600)]
    assert ratios(records, ttft_s, "a", "b") == [3.0, 7.0]


def test_a_pair_that_lacks_one_is_worse_than_any() -> None:
    records = [asked("a", 1, 600), asked("b", 2, 200, Outcome.FAILED), asked("a", 3, 700)]
    assert ratios(records, ttft_s, "a", "b") == [math.inf, math.inf]

"""MET, VIOLATED or INCONCLUSIVE: a decision table worked out by hand from MLPerf's early stopping.

At p90 and 95 % confidence: none over of 29 is a pass and of 28 is not; one over of 46 is, of 45 is not.
Two or more over of two prove the opposite: P(X >= 2) = 0.1^2 = 0.01. One over of one does not: 0.1.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from instruments.records import ClientCheck, Outcome, RequestRecord
from instruments.slo import ServiceLevelObjective, State, Verdict, evaluate
from instruments.slo.verdict import ObjectiveViolated
from instruments.statistics import summarize
from tests.instruments.shapes import CALM, SECOND, load_run, record


def objective(**fields: Any) -> ServiceLevelObjective:
    told = {"indicator": "ttft_s", "statistic": "p90", "at_most": 1.5, **fields}
    return ServiceLevelObjective(id="a", description="d", workload="w", **told)


ERRORS = {"indicator": "error_share", "statistic": "share", "at_most": 0.1}
COUNT = {"indicator": "errors", "statistic": "count", "at_most": 2}
GOODPUT = {"indicator": "goodput_share", "statistic": "share", "at_most": None, "at_least": 0.9}


def records(good: int, slow: int = 0, **failed: int) -> list[RequestRecord]:
    """Answers within the limit (1 s), over it (2 s), and others by outcome."""
    kinds = [record(ttft=1)] * good + [record(ttft=2)] * slow
    kinds += [record(outcome=Outcome(name)) for name, number in failed.items() for _ in range(number)]
    # Shuffled: bad ones in a row would hang together, and say less than as many independent ones.
    random.Random(4).shuffle(kinds)
    return [_at(index, one) for index, one in enumerate(kinds)]


def _at(index: int, one: RequestRecord) -> RequestRecord:
    """The record as that of the index-th request, sent a millisecond after the one before it."""
    moved = index * SECOND // 1000
    instants = [f"{name}_ns" for name in "due sent headers first_data first_token last_token done".split()]
    known = {name: getattr(one, name) for name in instants if getattr(one, name) is not None}
    return replace(one, index=index, **{name: at + moved for name, at in known.items()})


def judged(made: list[RequestRecord], of: ServiceLevelObjective | None = None, **run: Any) -> Verdict:
    """A judgement on a run that is not void: how late a client may be has tests of its own below."""
    return evaluate(replace(summarize(load_run(made, **run)), void=()), of or objective())


@pytest.mark.parametrize(
    ("good", "slow", "state", "more"),
    [
        (29, 0, State.MET, None),
        (28, 0, State.INCONCLUSIVE, 1),
        (45, 1, State.MET, None),
        (44, 1, State.INCONCLUSIVE, 1),
        (0, 1, State.INCONCLUSIVE, 45),
        (0, 2, State.VIOLATED, None),
        (8, 2, State.INCONCLUSIVE, 51),  # two over need 61
        (5, 5, State.VIOLATED, None),  # P(X >= 5) of ten at 0.1 is 0.0016
        (90, 10, State.INCONCLUSIVE, None),  # exactly at the limit
    ],
)
def test_a_quantile_is_judged_by_how_many_were_over_the_limit(
    good: int, slow: int, state: State, more: int | None
) -> None:
    verdict = judged(records(good, slow))
    assert (verdict.state, verdict.requests, verdict.bad) == (state, good + slow, slow)
    if more is not None:
        assert verdict.requests_more == more


def test_the_requests_that_it_asks_for_decide_it_when_they_are_good() -> None:
    verdict = judged(records(90, 10))
    assert verdict.requests_more is not None
    assert judged(records(90 + verdict.requests_more, 10)).state is State.MET
    assert judged(records(89 + verdict.requests_more, 10)).state is State.INCONCLUSIVE


@pytest.mark.parametrize(
    "outcome", ["FAILED", "TIMED_OUT", "TRUNCATED", "REFUSED", "RATE_LIMITED", "NOT_SENT"]
)
def test_a_request_without_an_answer_is_slower_than_any_limit(outcome: str) -> None:
    assert judged(records(29, **{outcome: 1})).state is State.INCONCLUSIVE
    verdict = judged(records(10, **{outcome: 10}))
    assert (verdict.state, verdict.bad, verdict.requests) == (State.VIOLATED, 10, 20)
    assert verdict.high is None  # no latency bounds them from above


def test_clients_that_left_before_it_was_known_take_a_pass_away_where_they_could_have_been_bad() -> None:
    """5 of 34 are too many for a p90, 5 of 295 are not: none of them speaks, and none is a pass by itself."""
    verdict = judged(records(29, CANCELLED=5))
    assert (verdict.state, verdict.requests) == (State.INCONCLUSIVE, 29)
    assert "5 of 34 clients left before it was known" in verdict.reason
    assert judged(records(290, CANCELLED=5)).state is State.MET
    assert judged(records(29, CANCELLED=5), objective(**ERRORS)).state is State.MET  # leaving is no error


def test_the_value_is_the_quantile_with_failures_above_everything() -> None:
    verdict = judged(records(90, 5, FAILED=5), objective(statistic="p95"))
    assert verdict.value == 2.0
    assert verdict.low == 1.0
    assert judged(records(90, FAILED=10), objective(statistic="p95")).value is None


def test_an_empty_run_is_never_a_pass() -> None:
    for of in (
        objective(),
        objective(**ERRORS),
        objective(**COUNT),
        objective(**GOODPUT, per_request={"ttft_s": 1}),
    ):
        verdict = judged([], of)
        assert (verdict.state, verdict.reason) == (State.INCONCLUSIVE, "nothing was measured")


@pytest.mark.parametrize(
    ("failed", "state"), [(0, State.MET), (2, State.MET), (3, State.VIOLATED), (30, State.VIOLATED)]
)
def test_a_count_is_counted_and_not_estimated(failed: int, state: State) -> None:
    verdict = judged(records(1, FAILED=failed), objective(**COUNT))
    assert (verdict.state, verdict.value, verdict.low) == (state, float(failed), None)


@pytest.mark.parametrize(
    ("good", "failed", "state"),
    [(29, 0, State.MET), (28, 0, State.INCONCLUSIVE), (0, 2, State.VIOLATED), (60, 6, State.INCONCLUSIVE)],
)
def test_a_share_of_errors_is_judged_like_a_quantile(good: int, failed: int, state: State) -> None:
    verdict = judged(records(good, FAILED=failed), objective(**ERRORS))
    assert verdict.state is state
    assert verdict.value == pytest.approx(failed / (good + failed))


def test_a_share_has_its_exact_interval() -> None:
    verdict = judged(records(5, FAILED=5), objective(**ERRORS))
    assert (verdict.low, verdict.high) == pytest.approx((0.1871, 0.8129), abs=1e-4)


def test_slow_answers_are_no_errors() -> None:
    assert judged(records(0, 40), objective(**ERRORS)).state is State.MET


def test_goodput_is_over_all_that_were_due() -> None:
    of = objective(**GOODPUT, per_request={"ttft_s": 1.5})
    verdict = judged(records(5, 2, FAILED=2, NOT_SENT=1), of)
    assert (verdict.value, verdict.requests, verdict.bad) == (0.5, 10, 5)
    assert (verdict.low, verdict.high) == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert verdict.state is State.VIOLATED
    assert judged(records(29), of).state is State.MET


def test_an_answer_of_one_token_has_no_cadence_to_judge() -> None:
    of = objective(indicator="tpot_s", at_most=1.5)
    ones = [record(index, tokens=1) for index in range(100)]
    assert judged(ones, of).reason == "nothing was measured"
    assert judged([*ones, *records(28)], of).requests == 28


def test_answers_that_do_not_say_how_many_tokens_they_have_are_neither_quick_nor_slow() -> None:
    verdict = judged([record(index, tokens=None) for index in range(40)], objective(indicator="tpot_s"))
    assert verdict.state is State.INCONCLUSIVE
    assert "40 of 40 answers do not say" in verdict.reason


def test_a_request_that_failed_after_its_first_token_has_a_bad_cadence_and_not_none() -> None:
    cut_off = replace(record(outcome=Outcome.FAILED), completion_tokens=1)
    of = objective(indicator="tpot_s", at_most=1.5)
    verdict = judged([*records(40), *[_at(40 + index, cut_off) for index in range(40)]], of)
    assert (verdict.state, verdict.requests, verdict.bad) == (State.VIOLATED, 80, 40)


def test_a_failed_request_with_a_first_token_in_time_is_bad_all_the_same() -> None:
    began = replace(record(), outcome=Outcome.TRUNCATED)
    verdict = judged([_at(index, began) for index in range(20)])
    assert (verdict.state, verdict.bad) == (State.VIOLATED, 20)


def test_a_run_that_was_stopped_is_never_met() -> None:
    for of in (objective(), objective(**COUNT), objective(**ERRORS)):
        verdict = judged(records(100), of, complete=False)
        assert verdict.state is State.INCONCLUSIVE
        assert "20 requests in a row failed" in verdict.reason
        assert judged(records(1, FAILED=50), of, complete=False).state is State.VIOLATED


def test_a_journal_with_a_lost_line_is_never_met() -> None:
    verdict = judged(records(100), problems=("line 7 is torn",))
    assert (verdict.state, verdict.reason) == (State.INCONCLUSIVE, "the run did not end well: line 7 is torn")


@pytest.mark.parametrize("state", [State.MET, State.VIOLATED])
def test_a_verdict_stands_where_the_clients_lag_could_not_have_changed_it(state: State) -> None:
    # TTFT is 1 s for a good request and 2 s for a bad one; the limit is 1.5 s.
    made = records(100) if state is State.MET else records(0, 100)
    goodput = objective(**GOODPUT, per_request={"ttft_s": 1.5})
    for of in (objective(), goodput):
        assert judged(made, of, client=replace(CALM, loop_lag_p99_s=0.45)).state is state
        open_again = judged(made, of, client=replace(CALM, loop_lag_p99_s=0.55))
        assert open_again.state is State.INCONCLUSIVE
        assert "late by 0.55 s at p99" in open_again.reason


def test_a_client_that_did_not_check_itself_judges_no_latency() -> None:
    for made in (records(100), records(0, 100)):
        assert judged(made, objective(), client=None).state is State.INCONCLUSIVE
    assert judged(records(100), objective(**ERRORS), client=None).state is State.MET


def test_a_client_as_late_as_half_the_limit_measures_itself() -> None:
    # 1 s measured and 3 s allowed: a lag of 1.6 s would not change a MET, but says too much of the client.
    assert judged(records(100), objective(at_most=3.0), client=late_by(1.4)).state is State.MET
    assert judged(records(100), objective(at_most=3.0), client=late_by(1.6)).state is State.INCONCLUSIVE


def late_by(seconds: float) -> ClientCheck:
    return replace(CALM, loop_lag_p99_s=seconds)


def test_a_late_send_is_a_late_client() -> None:
    made = [replace(one, due_ns=one.due_ns - SECOND) for one in records(100)]
    verdict = judged(made)
    assert verdict.state is State.INCONCLUSIVE
    assert "late by 1 s at p99" in verdict.reason


def test_a_client_that_lost_patience_beyond_the_limit_counts_against_it() -> None:
    """A hundred quick ones, and a hundred who left after 2 s without an answer; 1.9 s are allowed."""
    quick = [record(index) for index in range(100)]
    left = [
        replace(
            record(100 + index, Outcome.CANCELLED, due=index),
            left_ns=(index + 2) * SECOND,
            first_token_ns=None,
            chunks_ns=(),
            done_ns=None,
        )
        for index in range(100)
    ]
    assert judged([*quick, *left], objective(at_most=1.9)).state is State.VIOLATED
    patient = judged([*quick, *left], objective(at_most=2.5))
    # Nothing is known of who left before: they do not count against it, and leave no pass.
    assert (patient.state, patient.requests, patient.bad) == (State.INCONCLUSIVE, 100, 0)


def test_who_left_after_the_first_token_had_one_in_time() -> None:
    left = [replace(record(index, due=index), outcome=Outcome.CANCELLED, done_ns=None) for index in range(40)]
    assert judged([*records(40), *left]).state is State.MET
    assert judged([*records(40), *left], objective(indicator="e2e_s", at_most=9)).state is State.INCONCLUSIVE


def test_a_void_run_decides_nothing_neither_good_nor_bad() -> None:
    for made in (records(100), records(0, 100)):
        summary = summarize(load_run(made, client=replace(CALM, clock_steps=2)))
        verdict = evaluate(summary, objective())
        assert verdict.state is State.INCONCLUSIVE
        assert verdict.reason == (
            "the run is void, the client disturbed it: "
            "the wall clock, which the kernel stamps with, was set 2 times in the run"
        )
        assert verdict.requests_more is None  # more of the same would not help


def test_the_kernels_stamps_are_not_late_when_the_loop_is() -> None:
    # 1 s measured and 1.5 s allowed: a loop late by a second would leave that open, kernel stamps do not.
    assert judged(records(100), client=late_by(1.0)).state is State.INCONCLUSIVE
    assert judged(records(100), client=replace(late_by(1.0), stamps="kernel")).state is State.MET


def test_a_late_client_moves_a_mean_over_many_tokens_by_little() -> None:
    made = [record(index, tokens=101) for index in range(100)]  # a hundred gaps of 0.02 s
    of = objective(indicator="tpot_s", at_most=0.1)
    # 0.02 s and a hundredth of the lag are within 0.1 s up to a lag of 8 s; half the limit is 5 s.
    assert judged(made, of, client=late_by(4.9)).state is State.MET
    assert judged(made, of, client=late_by(5.1)).state is State.INCONCLUSIVE


def test_a_stack_that_answers_nothing_is_violated_whatever_the_client_was() -> None:
    unsent = [replace(one, sent_ns=None) for one in records(0, FAILED=20)]
    assert judged(unsent, client=None).state is State.VIOLATED


def test_an_advisory_objective_is_judged_and_breaks_nothing() -> None:
    verdict = judged(records(0, 100), objective(required=False))
    assert verdict.state is State.VIOLATED
    verdict.require_met()
    with pytest.raises(ObjectiveViolated):
        judged(records(0, 100), objective()).require_met()

"""What keeps a verdict from being better than its run: looks, tails, cuts, windows, and who says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from instruments.records import Outcome, RequestRecord
from instruments.slo import State
from instruments.statistics.means import mean_bounds
from tests.instruments.shapes import SECOND
from tests.instruments.test_verdict_kinds import (
    MS,
    TTFT,
    answer,
    buckets,
    failed,
    judged,
    objective,
    server,
    steady,
    summary,
)

DECIDED = {"looks": "open", "requests_most": 10_000, "decided": True, "decided_at": 130}
P95 = objective("ttft_s", "p95", 0.2)


def with_tail(*tail: RequestRecord) -> list[RequestRecord]:
    return [*steady(130), *tail]


def test_an_answer_in_flight_does_not_take_back_what_a_look_has_decided() -> None:
    """130 good ones are evidence enough; with one of 132 over the limit there is less than it takes."""
    late = with_tail(answer(130, ttft_ms=300), answer(131))
    assert judged(summary(late, sampling=DECIDED | {"decided_at": None}), P95).state is State.INCONCLUSIVE
    verdict = judged(summary(late, sampling=DECIDED), P95)
    assert verdict.state is State.MET
    assert "of 2 in flight then 1 bad" in verdict.reason


@pytest.mark.parametrize("number", [4, 20])
def test_a_tail_that_says_the_opposite_leaves_it_open(number: int) -> None:
    """Four of four bad where 5 % may be: 0.05^4 = 6e-6."""
    verdict = judged(summary(with_tail(*map(failed, range(130, 130 + number))), sampling=DECIDED), P95)
    assert verdict.state is not State.MET


def test_a_look_says_nothing_for_a_mean_whose_tail_failed() -> None:
    mean = objective("ttft_s", "mean", 0.3)
    lost = [*steady(400), failed(400)]
    verdict = judged(summary(lost, seconds=40, sampling=DECIDED | {"decided_at": 400}), mean)
    assert verdict.state is State.INCONCLUSIVE


def test_half_of_a_run_is_no_warm_up() -> None:
    """490 of 1,000 at 3 s, the rest at 0.1: one who came in that half does not call it warming up."""
    slow = [replace_ttft(one, 3_000 if index < 490 else 0) for index, one in enumerate(steady(1_000))]
    verdict = judged(summary(slow, seconds=100), objective("ttft_s", "p95", 0.5))
    assert verdict.state is not State.MET
    assert verdict.trimmed == 0


def replace_ttft(one: RequestRecord, more_ms: int) -> RequestRecord:
    names = ("first_data_ns", "first_token_ns", "last_token_ns", "done_ns")
    moved = {name: getattr(one, name) + more_ms * MS for name in names}
    return replace(one, chunks_ns=tuple(at + more_ms * MS for at in one.chunks_ns), **moved)


@pytest.mark.parametrize(
    ("indicator", "statistic", "limit"), [("ttft_s", "mean", 0.4), ("itl_s", "p95", 0.0235)]
)
def test_means_and_gaps_of_a_run_that_gets_worse_are_no_pass_near_the_limit(
    indicator: str, statistic: str, limit: float
) -> None:
    """TTFT from 0.1 to 0.55 s, gaps from 10 to 21 ms: the whole is within the limit, its end hardly."""
    getting_worse = [
        answer(i, ttft_ms=100 + 0.45 * i + i * 37 % 41, gaps_ms=(10 + 0.011 * i + i * 7 % 3,) * 5)
        for i in range(1_000)
    ]
    verdict = judged(summary(getting_worse, seconds=100), objective(indicator, statistic, limit))
    assert verdict.state is State.INCONCLUSIVE
    assert "never steady" in verdict.reason


def test_goodput_of_a_run_that_gets_worse_is_no_pass_near_the_limit() -> None:
    getting_worse = [answer(i, ttft_ms=100 + 0.09 * i + i * 37 % 41) for i in range(1_000)]
    of = objective("goodput_share", "share", 0.9, side="at_least", per_request={"ttft_s": 0.24})
    verdict = judged(summary(getting_worse, seconds=100), of)
    assert (verdict.state, verdict.bad) == (State.INCONCLUSIVE, 0)
    far = replace(of, per_request={"ttft_s": 2.0})
    assert judged(summary(getting_worse, seconds=100), far).state is State.MET


def test_a_server_that_had_nothing_to_do_keeps_no_objective() -> None:
    idle = server(gauges={"waiting": [0.0] * 11}, before={"vllm:num_preemptions_total": 0.0},
                  after={"vllm:num_preemptions_total": 0.0})  # fmt: skip
    dead = summary([failed(index) for index in range(100)], server=idle)
    for of in (objective("queue_depth", "max", 5), objective("preemptions", "count", 0)):
        verdict = judged(dead, of)
        assert verdict.state is State.INCONCLUSIVE
        assert "no request completed" in verdict.reason


def test_token_gaps_of_a_servers_histogram_are_no_more_than_requests() -> None:
    """20,000 gaps of 100 requests, none slow: worth 100 at most, where a p99 needs 299."""
    name = "vllm:inter_token_latency_seconds"
    told = {key.replace(TTFT, name): value for key, value in buckets(20_000, b100=20_000).items()}
    before = dict.fromkeys(told, 0.0)
    given = summary(steady(100), server=server(before=before, after=told))
    verdict = judged(given, objective("server_itl_s", "p99", 0.1))
    assert verdict.state is State.INCONCLUSIVE
    assert verdict.requests_effective is not None
    assert verdict.requests_effective <= 100
    assert judged(given, objective("server_itl_s", "p95", 0.1)).state is State.MET


def test_samples_of_a_part_of_the_window_do_not_stand_for_all_of_it() -> None:
    """One a second for 60 of 100 s is not enough; the period of another source's samples is no excuse."""
    seen = server(gauges={"gpu0.temperature_c": [60.0] * 60})
    given = summary(steady(100), seconds=100, server=replace(seen, every_s=15.0))
    assert judged(given, objective("gpu_temperature_c", "max", 80)).state is State.INCONCLUSIVE
    whole = server(gauges={"gpu0.temperature_c": [60.0] * 100})
    given = summary(steady(100), seconds=100, server=replace(whole, every_s=15.0))
    assert judged(given, objective("gpu_temperature_c", "max", 80)).state is State.MET


def test_a_sample_that_is_no_number_is_none() -> None:
    seen = server(gauges={"waiting": [0.0, float("nan"), *[0.0] * 9]})
    verdict = judged(summary(steady(100), server=seen), objective("queue_depth", "max", 1))
    assert (verdict.state, verdict.value) == (State.MET, 0.0)


def test_a_rate_does_not_fade_with_the_last_answers() -> None:
    """Ten a second for 40 s; the last four answers take a minute more, and are no part of the rate."""
    lingering = [*steady(396), *[answer(index, ttft_ms=60_000) for index in range(396, 400)]]
    rate = objective("requests_per_s", "rate", 9.0, side="at_least")
    verdict = judged(summary(lingering, seconds=100), rate)
    assert verdict.state is State.MET
    assert verdict.value == pytest.approx(10.0, rel=0.02)


def test_a_rate_that_nobody_can_tell_is_none() -> None:
    rate = objective("output_tokens_per_s", "rate", 1.0, side="at_least")
    untold = [replace(one, completion_tokens=None) if one.index == 7 else one for one in steady(200)]
    assert judged(summary(untold, seconds=20), rate).state is State.INCONCLUSIVE
    alone = [answer(0)]
    assert judged(summary(alone), objective("requests_per_s", "rate", 1.0, side="at_least")).state is (
        State.INCONCLUSIVE
    )


def test_answers_without_a_gap_have_no_mean_of_gaps() -> None:
    ones = [answer(index, gaps_ms=()) for index in range(300)]
    assert judged(summary(ones), objective("itl_s", "mean", 1.0)).reason == "no answer has gaps"


def test_each_side_of_a_mean_has_the_error_of_its_own_claim() -> None:
    """In a family of a thousand VIOLATED takes far more than MET, whichever side of the limit that is."""
    given = summary(steady(400), seconds=40)
    low_limit = objective("ttft_s", "mean", 0.0988)
    assert judged(given, low_limit).state is State.VIOLATED
    assert judged(given, low_limit, family=10**6).state is State.INCONCLUSIVE
    rate = objective("requests_per_s", "rate", 9.9, side="at_least")
    jittery = [
        replace(one, done_ns=(one.done_ns or 0) + (one.index * 7919 % 13) * 40 * MS) for one in steady(800)
    ]
    passed = judged(summary(jittery, seconds=80), replace(rate, at_least=9.0))
    assert passed.state is State.MET
    assert judged(summary(jittery, seconds=80), replace(rate, at_least=9.0), family=10**9).state is State.MET


def test_the_bounds_of_a_mean_are_as_often_wrong_as_they_say() -> None:
    """400 runs of 1,000 lognormal latencies (σ 0.5, mean e^0.125): each bound is beyond it in at most 5 %."""
    rng = np.random.default_rng(3)
    truth, low_missed, high_missed = float(np.exp(0.125)), 0, 0
    for _ in range(400):
        low, high = mean_bounds(rng.lognormal(0, 0.5, 1_000), 0.05, 0.05) or (0.0, 0.0)
        low_missed += low > truth
        high_missed += high < truth
    assert low_missed / 400 <= 0.05
    assert 0.002 < high_missed / 400 <= 0.06
    assert mean_bounds(rng.random(159), 0.05, 0.05) is None
    assert mean_bounds(rng.random(400), 0.5, 0.5) is not None  # a confidence of one half


def test_a_run_of_clients_who_all_left_is_nothing_measured() -> None:
    left = [
        replace(failed(index), outcome=Outcome.CANCELLED, left_ns=index * 100 * MS + SECOND)
        for index in range(100)
    ]
    assert judged(summary(left), objective("ttft_s", "p95", 10.0)).reason == "nothing was measured"


def test_clients_that_all_left_at_the_limit_decide_nothing_where_stamps_may_be_late() -> None:
    """All left 0.1 ms beyond the limit, with stamps that may be 1 ms late: nobody may have waited so long."""
    left = [
        replace(failed(index), outcome=Outcome.CANCELLED, left_ns=index * 100 * MS + 50_100_000)
        for index in range(1_000)
    ]
    given = summary(left, seconds=100, stamp_error_s=0.001)
    goodput = objective("goodput_share", "share", 0.9, side="at_least", per_request={"ttft_s": 0.05})
    assert judged(given, goodput).state is State.INCONCLUSIVE
    assert judged(given, objective("ttft_s", "p95", 0.05)).state is State.INCONCLUSIVE
    assert judged(replace(given, stamp_error_s=0.0), goodput).state is State.VIOLATED

"""Verdicts of every kind of indicator, each worked out by hand; and what sampling until decided changes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from instruments.records import Outcome, RequestRecord
from instruments.slo import ServiceLevelObjective, State, Verdict, evaluate
from instruments.statistics import summarize
from instruments.statistics.summary import RunSummary
from instruments.telemetry import Snapshot
from instruments.telemetry.record import Series, ServerRecord
from tests.instruments.shapes import SECOND, load_run, record

MS = SECOND // 1000
OPEN = {"looks": "open", "requests_most": 10_000}


def objective(indicator: str, statistic: str, limit: float, **fields: Any) -> ServiceLevelObjective:
    told: dict[str, Any] = {fields.pop("side", "at_most"): limit}
    return ServiceLevelObjective("a", "d", "w", indicator, statistic, **told, **fields)


def answer(index: int, *, ttft_ms: float = 100, gaps_ms: tuple[float, ...] = (10, 10, 10)) -> RequestRecord:
    """The index-th request: due at index × 100 ms, its first token after `ttft_ms`, then a gap a token."""
    due = index * 100 * MS
    first = due + round(ttft_ms * MS)
    chunks = [first]
    for gap in gaps_ms:
        chunks.append(chunks[-1] + round(gap * MS))
    return replace(
        record(index), due_ns=due, sent_ns=due, headers_ns=first, first_data_ns=first, first_token_ns=first,
        last_token_ns=chunks[-1], done_ns=chunks[-1], completion_tokens=len(chunks),
        chunks_ns=tuple(chunks), chunk_tokens=(1,) * len(chunks),
    )  # fmt: skip


def failed(index: int) -> RequestRecord:
    return replace(record(index, Outcome.FAILED), due_ns=index * 100 * MS, sent_ns=index * 100 * MS)


def summary(records: list[RequestRecord], *, seconds: int = 10, **changed: Any) -> RunSummary:
    return replace(summarize(load_run(records, seconds=seconds)), void=(), **changed)


def steady(n: int, *, slow: int = 0) -> list[RequestRecord]:
    """n answers, `slow` of them after 300 ms and the others around 100, strewn."""
    rng = random.Random(n)
    times = [300.0] * slow + [rng.uniform(90, 110) for _ in range(n - slow)]
    rng.shuffle(times)
    return [answer(index, ttft_ms=ttft) for index, ttft in enumerate(times)]


def judged(given: RunSummary, of: ServiceLevelObjective, family: int = 1) -> Verdict:
    return evaluate(given, of, family=family)


def test_a_run_sampled_until_decided_is_judged_by_evidence_that_bears_looking() -> None:
    """A pass at 95 % is claimed on evidence of 200, ten times 1/0.05: 122 good in a row at p95."""
    p95 = objective("ttft_s", "p95", 0.2, confidence=0.95)
    assert judged(summary(steady(60)), p95).state is State.MET
    first = next(
        n for n in range(60, 200) if judged(summary(steady(n), sampling=OPEN), p95).state is State.MET
    )
    assert first == 122
    assert "sequential" in judged(summary(steady(122), sampling=OPEN), p95).test
    assert "binomial" in judged(summary(steady(60)), p95).test


def test_a_family_shares_the_chance_of_a_false_alarm_and_not_that_of_a_pass() -> None:
    """12 of 100 over at 5 %: P(X >= 12) = 0.0043, an alarm for one objective and none for one of twenty."""
    p95 = objective("ttft_s", "p95", 0.2)
    twelve = summary(steady(100, slow=12))
    assert judged(twelve, p95).state is State.VIOLATED
    assert judged(twelve, p95, family=20).state is State.INCONCLUSIVE
    assert judged(twelve, p95, family=20).family == 20
    assert judged(summary(steady(60)), p95, family=20).state is State.MET


def test_what_was_slow_before_it_settled_is_left_out_and_told() -> None:
    warm = [answer(index, ttft_ms=100 + 400 * 0.97**index + index % 7) for index in range(600)]
    verdict = judged(summary(warm, seconds=60), objective("ttft_s", "p95", 0.2))
    assert verdict.state is State.MET
    assert 50 <= verdict.trimmed <= 300
    assert verdict.requests == 600 - verdict.trimmed
    assert verdict.reason.count(f"the first {verdict.trimmed} left out") == 1


def test_a_failure_is_never_left_out_with_the_warm_up() -> None:
    warm = [answer(index, ttft_ms=100 + 400 * 0.97**index + index % 7) for index in range(600)]
    lost = [failed(index) if index < 40 else one for index, one in enumerate(warm)]
    verdict = judged(summary(lost, seconds=60), objective("ttft_s", "p95", 0.2))
    assert verdict.bad >= 40
    assert verdict.state is not State.MET


@pytest.mark.parametrize(
    ("slope", "limit", "state"),
    [
        (1.0, 10.0, State.MET),  # were it to move on as it did, it would be far from the limit still
        (1.0, 0.25, State.INCONCLUSIVE),  # within it to the last, and for how much longer?
        (1.0, 0.15, State.VIOLATED),
        (-0.5, 0.065, State.INCONCLUSIVE),  # above it to the last, and for how much longer?
        (-0.5, 0.01, State.VIOLATED),
    ],
)
def test_a_run_that_never_settles_is_no_pass_near_its_limit(slope: float, limit: float, state: State) -> None:
    """It may be too slow if it was getting slower. One that got faster may still be quick enough."""
    moving = [answer(i, ttft_ms=(80 + i * 37 % 41) * (1 + slope * i / 900)) for i in range(900)]
    verdict = judged(summary(moving, seconds=90), objective("ttft_s", "p95", limit))
    assert verdict.state is state
    assert "never steady" in verdict.reason


def test_gaps_are_judged_by_the_requests_that_they_belong_to() -> None:
    """58 answers of 100 gaps are 5,800 gaps and no more than 58 requests: p95 at 95 % needs 59."""
    gaps = (10.0,) * 100
    itl = objective("itl_s", "p95", 0.02)
    few, enough = ([answer(i, gaps_ms=gaps) for i in range(n)] for n in (58, 59))
    assert judged(summary(few), itl).state is State.INCONCLUSIVE
    verdict = judged(summary(enough), itl)
    assert (verdict.state, verdict.requests, verdict.bad, verdict.value) == (State.MET, 5_900, 0, 0.01)


def test_a_failed_request_has_as_many_bad_gaps_as_others_have_gaps() -> None:
    lost = [failed(i) if i % 8 == 0 else answer(i) for i in range(80)]
    verdict = judged(summary(lost), objective("itl_s", "p95", 0.02))
    assert (verdict.requests, verdict.bad) == (240, 30)
    assert verdict.state is not State.MET


def test_a_mean_lies_beside_its_limit_or_around_it() -> None:
    """Uniform 90 to 110 ms: mean 100, its error for 400 requests 5.77/20 = 0.3 ms."""
    given = summary(steady(400), seconds=40)
    assert judged(given, objective("ttft_s", "mean", 0.103)).state is State.MET
    assert judged(given, objective("ttft_s", "mean", 0.097)).state is State.VIOLATED
    around = judged(given, objective("ttft_s", "mean", 0.1))
    assert around.state is State.INCONCLUSIVE
    assert around.value == pytest.approx(0.1, abs=0.002)
    assert around.high is not None
    assert around.low is not None
    assert 0.001 < around.high - around.low < 0.006


def test_there_is_no_mean_of_a_latency_that_a_request_does_not_have() -> None:
    lost = [*steady(100), failed(100)]
    verdict = judged(summary(lost), objective("ttft_s", "mean", 1.0))
    assert verdict.state is State.INCONCLUSIVE
    assert "1 of 101 requests have no latency" in verdict.reason


@pytest.mark.parametrize(
    ("indicator", "limit", "state"),
    [
        ("requests_per_s", 8.0, State.MET),
        ("requests_per_s", 12.0, State.VIOLATED),
        ("output_tokens_per_s", 32.0, State.MET),
        ("output_tokens_per_s", 48.0, State.VIOLATED),
    ],
)
def test_a_rate_is_that_of_the_whole_window(indicator: str, limit: float, state: State) -> None:
    """One request of four tokens each 100 ms: what ended after the last was sent is not counted."""
    verdict = judged(summary(steady(100)), objective(indicator, "rate", limit, side="at_least"))
    assert verdict.state is state
    assert verdict.value == pytest.approx(10.0 if indicator == "requests_per_s" else 40.0, rel=0.02)


def test_goodput_counts_good_requests_only() -> None:
    half = [answer(i, ttft_ms=300 if i % 2 else 100) for i in range(100)]
    goodput = objective("goodput_per_s", "rate", 4.0, side="at_least", per_request={"ttft_s": 0.2})
    verdict = judged(summary(half), goodput)
    assert verdict.state is State.MET
    assert verdict.value == pytest.approx(5.0, rel=0.02)


def server(
    *, gauges: Mapping[str, list[float]] | None = None, before: Mapping[str, float] | None = None,
    after: Mapping[str, float] | None = None, problems: tuple[str, ...] = (),
) -> ServerRecord:  # fmt: skip
    """What a server said each second of ten; counters and buckets as `name` or `name|le`."""

    def told(numbers: Mapping[str, float] | None) -> Snapshot | None:
        if numbers is None:
            return None
        samples = {}
        for name, value in numbers.items():
            family, _, le = name.partition("|")
            labels = {("model_name", "m"), *([("le", le)] if le else [])}
            samples[family, frozenset(labels)] = value
        return Snapshot(samples)

    series = {
        name: Series(tuple(float(second) for second in range(len(values))), tuple(values))
        for name, values in (gauges or {}).items()
    }
    return ServerRecord("direct scrape", told(before), told(after), series, 1.0, 0.01, problems)


def test_a_gauge_is_judged_on_its_samples() -> None:
    depth = {"waiting": [0.0, 0, 1, 5, 2, 0, 0, 0, 0, 0]}
    given = summary(steady(100), server=server(gauges=depth))
    assert judged(given, objective("queue_depth", "max", 5)).state is State.MET
    over = judged(given, objective("queue_depth", "max", 4))
    assert (over.state, over.value, over.requests, over.bad) == (State.VIOLATED, 5.0, 10, 1)
    assert judged(given, objective("queue_depth", "mean", 0.8)).state is State.MET
    assert judged(given, objective("queue_depth", "mean", 0.79)).state is State.VIOLATED


def test_a_gauge_with_too_few_samples_says_nothing() -> None:
    given = summary(steady(100), server=server(gauges={"waiting": [0.0] * 7}, problems=("it went away",)))
    verdict = judged(given, objective("queue_depth", "max", 5))
    assert verdict.state is State.INCONCLUSIVE
    assert "7 samples" in verdict.reason
    assert "it went away" in verdict.reason


def test_nothing_known_of_the_server_is_no_pass() -> None:
    for indicator, statistic in (("queue_depth", "max"), ("preemptions", "count"), ("server_ttft_s", "p95")):
        verdict = judged(summary(steady(100)), objective(indicator, statistic, 5))
        assert verdict.state is State.INCONCLUSIVE


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [(3.0, 3.0, State.MET), (3.0, 5.0, State.VIOLATED), (3.0, 1.0, State.INCONCLUSIVE)],
)
def test_preemptions_are_counted(before: float, after: float, state: State) -> None:
    """A counter that went down was reset: what it had counted by then is not known."""
    name = "vllm:num_preemptions_total"
    given = summary(steady(100), server=server(before={name: before}, after={name: after}))
    assert judged(given, objective("preemptions", "count", 1)).state is state


TTFT = "vllm:time_to_first_token_seconds"


def buckets(total: float, **at_most: float) -> dict[str, float]:
    """`b250=90`: 90 observations of at most 250 ms."""
    told = {f"{TTFT}_bucket|{float(name[1:]) / 1000:g}": count for name, count in at_most.items()}
    return told | {f"{TTFT}_bucket|+Inf": total, f"{TTFT}_count": total, f"{TTFT}_sum": total * 0.1}


@pytest.mark.parametrize(
    ("limit", "state"),
    [
        (0.25, State.MET),  # a bound: none of 200 above it
        (0.2, State.INCONCLUSIVE),  # between 0.1, with 120 of 200, and 0.25, with all: 0 to 80 above it
        (0.1, State.VIOLATED),  # a bound: 80 of 200 above it
        (0.05, State.VIOLATED),  # below 0.1: at least 80 above it
    ],
)
def test_a_servers_histogram_is_judged_by_what_its_buckets_can_tell(limit: float, state: State) -> None:
    before = buckets(0, b100=0, b250=0)
    after = buckets(200, b100=120, b250=200)
    given = summary(steady(100), server=server(before=before, after=after))
    verdict = judged(given, objective("server_ttft_s", "p95", limit))
    assert (verdict.state, verdict.requests, verdict.value) == (state, 200, None)
    assert (verdict.low, verdict.high) == (0.1, 0.25)  # of the 190th: it lies between these bounds


def test_the_worst_card_is_the_one_that_counts() -> None:
    gauges = {"gpu0.temperature_c": [60.0] * 10, "gpu1.temperature_c": [60.0] * 9 + [81.0]}
    given = summary(steady(100), server=server(gauges=gauges))
    assert judged(given, objective("gpu_temperature_c", "max", 80)).state is State.VIOLATED
    assert judged(given, objective("gpu_temperature_c", "mean", 62)).state is State.MET
    assert judged(given, objective("gpu_power_w", "max", 300)).state is State.INCONCLUSIVE


def test_money_is_spent_for_the_whole_time_and_good_tokens_are_what_it_buys() -> None:
    """100 requests in 10 s, half good, four tokens each: 36 an hour is 0.1, over 200 tokens 0.0005."""
    half = [answer(i, ttft_ms=300 if i % 2 else 100) for i in range(100)]
    cost = objective("cost_per_good_token", "value", 0.0005, cost_per_hour=36.0, per_request={"ttft_s": 0.2})
    verdict = judged(summary(half), cost)
    assert verdict.value == pytest.approx(0.0005)
    assert verdict.bad == 50
    assert judged(summary(half), replace(cost, at_most=0.0004)).state is State.VIOLATED
    assert judged(summary([failed(i) for i in range(9)]), cost).state is State.INCONCLUSIVE


def test_energy_is_power_over_time() -> None:
    """300 W for ten seconds for 400 tokens: 7.5 J a token."""
    gauges = {"gpu0.power_w": [300.0] * 11}
    given = summary(steady(100), server=server(gauges=gauges))
    verdict = judged(given, objective("energy_j_per_good_token", "value", 8.0))
    assert verdict.state is State.MET
    assert verdict.value == pytest.approx(7.5)

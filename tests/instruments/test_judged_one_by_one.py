"""Verdicts are worked out on arrays; here the same once more, one request at a time, on runs made by dice.

Only what turns records into values is written again (which requests speak, how late, how bad, which gaps);
what decides on values is tested elsewhere, and is the same code on both sides. Equal is to the last digit.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from instruments.records import LoadRun, Outcome, Phase, RequestRecord
from instruments.slo import ServiceLevelObjective
from instruments.slo.finding import STATES, Case
from instruments.slo.of_requests import judge_quantile, judge_share, judged, latencies
from instruments.slo.of_values import judge_gaps, judge_mean, judge_rate
from instruments.statistics import summarize
from instruments.statistics.correlation import effective_share_pooled
from instruments.statistics.quantiles import quantile, quantile_interval
from instruments.statistics.shares import decide_pooled, decide_share
from instruments.statistics.steady import steady_part
from tests.instruments.shapes import load_run
from tests.reports.runs import objective

MS = 1_000_000
ENDINGS = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.NOT_SENT, Outcome.TRUNCATED)
LIMITS = {"ttft_s": 0.045, "tpot_s": 0.009, "e2e_s": 0.3, "e2e_from_due_s": 0.3, "ttft_from_due_s": 0.045}


def a_request(index: int, dice: random.Random, told: str, slower: float) -> RequestRecord:
    """One that failed, was left or completed; of no, one or many chunks, of a token each or of several."""
    due = index * 10 * MS + dice.randrange(5 * MS)
    outcome = dice.choices((Outcome.COMPLETED, Outcome.CANCELLED, dice.choice(ENDINGS)), (90, 5, 5))[0]
    sent = None if outcome is Outcome.NOT_SENT else due + dice.randrange(MS)
    instants, at = [], due + int(dice.lognormvariate(3.4, 0.4) * slower * MS)
    for _ in range(0 if sent is None else dice.choice((0, 1, 1, 2, 9, 20, 30))):
        instants.append(at)
        at += int(dice.lognormvariate(1.6, 0.4) * slower) * MS  # whole milliseconds: many are equal
    counts = {"one": (1,) * len(instants), "several": tuple(dice.randint(1, 3) for _ in instants)}
    tokens = counts.get(dice.choice(("one", "several", "none")) if told == "mixed" else told)
    return RequestRecord(
        index=index,
        request_id=f"r-{index}",
        user=0,
        phase=Phase.WARMUP if index < 5 else Phase.MEASURED,
        outcome=outcome,
        due_ns=due,
        sent_ns=sent,
        first_token_ns=instants[0] if instants else None,
        last_token_ns=instants[-1] if instants else None,
        done_ns=at if outcome in (Outcome.COMPLETED, Outcome.TRUNCATED) else None,
        completion_tokens=sum(tokens) if tokens else len(instants) or None,
        chunks_ns=tuple(instants),
        chunk_tokens=tokens if instants else None,
        left_ns=due + dice.randrange(90) * MS if outcome is Outcome.CANCELLED else None,
    )


def a_run(seed: int) -> LoadRun:
    dice = random.Random(seed)
    told, rise = dice.choice(("one", "several", "none", "mixed")), dice.choice((0.0, 0.0, 1.0))
    count = dice.choice((30, 120, 300))
    return load_run(a_request(index, dice, told, 1 + rise * index / count) for index in range(count))


def a_case(seed: int, indicator: str, statistic: str, limit: float) -> Case:
    changes: dict[str, Any] = {"indicator": indicator, "statistic": statistic, "at_most": limit}
    if indicator in ("goodput_share", "goodput_per_s", "output_tokens_per_s"):
        changes |= {"at_most": None, "at_least": limit}
        changes |= {"per_request": {"ttft_s": 0.05, "tpot_s": 0.01}} if "goodput" in indicator else {}
    dice = random.Random(seed)
    late_s, left_bad = dice.choice((0.0, 0.002, -0.002)), dice.random() < 0.3
    return Case(summarize(a_run(seed)), objective(**changes), 2, late_s, left_bad)


def value_of(one: RequestRecord, name: str) -> float | None:
    begun = one.due_ns if "due" in name else one.sent_ns
    ended = one.done_ns if name.startswith("e2e") else one.first_token_ns
    n = one.completion_tokens or 0
    if name == "tpot_s":
        begun, ended = one.first_token_ns, one.last_token_ns
        return None if n < 2 or begun is None or ended is None else (ended - begun) / 1e9 / (n - 1)
    return None if begun is None or ended is None else (ended - begun) / 1e9


def gaps_of(one: RequestRecord, name: str) -> list[float] | None:
    if one.outcome is not Outcome.COMPLETED:
        return None
    gaps = [(later - earlier) / 1e9 for earlier, later in pairwise(one.chunks_ns)]
    if name == "chunk_gap_s":
        return gaps
    if one.chunk_tokens is None:
        return None
    first, *rest = one.chunk_tokens
    zeros = [0.0] * (first - 1)
    return zeros + [x for gap, k in zip(gaps, rest, strict=True) for x in (gap, *[0.0] * (k - 1))]


def outwaited(one: RequestRecord, asked: ServiceLevelObjective, late_s: float) -> bool:
    limits = {asked.indicator: asked.limit} if asked.indicator in LIMITS else asked.per_request
    for name, limit in limits.items():
        begun = one.due_ns if "due" in name else one.sent_ns
        until = one.first_token_ns if name.startswith("ttft") and one.first_token_ns else one.left_ns
        if name == "tpot_s" or begun is None or until is None:
            continue
        if (until - begun) / 1e9 + late_s > limit:
            return True
    return False


def speaking(case: Case) -> list[RequestRecord]:
    asked = case.objective
    kept = [
        one
        for one in case.summary.records
        if (one.outcome is not Outcome.CANCELLED or case.left_bad or outwaited(one, asked, case.late_s))
        and not (
            asked.indicator == "tpot_s" and one.outcome is Outcome.COMPLETED and one.completion_tokens == 1
        )
    ]
    return sorted(kept, key=lambda one: one.due_ns if one.sent_ns is None else one.sent_ns)


def latency_of(one: RequestRecord, case: Case) -> float:
    name = case.objective.indicator
    knows = (Outcome.COMPLETED, Outcome.CANCELLED) if "ttft" in name else (Outcome.COMPLETED,)
    value = value_of(one, name)
    if value is None or one.outcome not in knows:
        return math.inf
    return value + case.late_s / ((one.completion_tokens or 2) - 1 if name == "tpot_s" else 1)


def good(one: RequestRecord, case: Case) -> bool:
    def within(name: str, limit: float) -> bool:
        value = value_of(one, name)
        if value is None:
            return name == "tpot_s" and one.completion_tokens == 1
        return value + case.late_s / ((one.completion_tokens or 2) - 1 if name == "tpot_s" else 1) <= limit

    limits = case.objective.per_request.items()
    return one.outcome is Outcome.COMPLETED and all(within(*limit) for limit in limits)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", LIMITS)
def test_the_same_requests_speak_with_the_same_latencies_in_the_same_order(name: str, seed: int) -> None:
    case = a_case(seed, name, "p95", LIMITS[name])
    assert [case.summary.records[place] for place in judged(case)] == speaking(case)
    assert latencies(case).tolist() == [latency_of(one, case) for one in speaking(case)]


def test_the_dice_make_all_that_there_is_to_tell_apart() -> None:
    records = [one for seed in range(12) for one in a_run(seed).records]
    assert {one.outcome for one in records} == {Outcome.COMPLETED, Outcome.CANCELLED, *ENDINGS}
    assert {len(one.chunks_ns) for one in records} >= {0, 1, 2, 30}
    assert any(one.completion_tokens == 1 for one in records)
    tokens = [set(one.chunk_tokens) for one in records if one.chunk_tokens]
    assert {1} in tokens
    assert {1, 2, 3} in tokens
    assert any(one.chunks_ns and one.chunk_tokens is None for one in records)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", ["itl_s", "chunk_gap_s"])
def test_gaps_are_judged_as_lists_of_each_request_would_be(name: str, seed: int) -> None:
    case = a_case(seed, name, "p95", 0.008)
    asked, of_each = case.objective, [gaps_of(one, name) for one in speaking(case)]
    found = judge_gaps(case)
    if not any(of_each):
        assert found.reason == "no answer tells when its tokens came"
        return
    steady = steady_part([math.inf if one is None else added(one) / max(1, len(one)) for one in of_each])
    having = [len(one) for one in of_each if one]
    usual, kept = round(sum(having) / len(having)), of_each[steady.cut :]
    sizes = [usual if one is None else len(one) for one in kept]
    limit = asked.limit - case.late_s
    bad = [usual if one is None else sum(gap > limit for gap in one) for one in kept]
    ordered = sorted(gap for one in kept for gap in one or ())
    ordered += [math.inf] * (sum(sizes) - len(ordered))
    answer = decide_pooled(sizes, bad, case.rule())
    worth = effective_share_pooled(np.array(sizes, dtype=float), np.array(bad, dtype=float))
    low, high = quantile_interval(ordered, 0.95, asked.confidence, worth) or (None, None)
    assert (found.requests, found.bad, found.trimmed) == (sum(sizes), sum(bad), steady.cut)
    assert (found.value, found.low, found.high) == tuple(
        None if end == math.inf else end for end in (quantile(ordered, 0.95), low, high)
    )
    assert found.effective == answer.effective
    assert found.state in (STATES[answer.answer], "INCONCLUSIVE")


@pytest.mark.parametrize("seed", range(12))
def test_a_mean_of_gaps_is_that_of_each_requests_mean(seed: int) -> None:
    case = a_case(seed, "chunk_gap_s", "mean", 0.008)
    whole = [one for one in case.summary.records if one.outcome in (Outcome.COMPLETED, Outcome.CANCELLED)]
    case = replace(case, left_bad=False, summary=replace(case.summary, records=tuple(whole)))
    means = [
        added(gaps) / len(gaps) + case.late_s
        for one in speaking(case)
        if (gaps := gaps_of(one, "chunk_gap_s"))
    ]
    found = judge_mean(case)
    assert found.value == float(np.array(means)[found.trimmed :].mean())
    assert found.requests == len(means) - found.trimmed


@pytest.mark.parametrize("seed", range(12))
def test_goodput_counts_who_is_good_one_by_one(seed: int) -> None:
    case = a_case(seed, "goodput_share", "share", 0.5)
    flags = [float(not good(one, case)) for one in speaking(case)]
    found, answer = judge_share(case), decide_share(flags, 0.5, case.rule())
    assert (found.requests, found.bad, found.effective) == (len(flags), sum(flags), answer.effective)
    per_s = a_case(seed, "goodput_per_s", "rate", 5.0)
    rate = judge_rate(per_s).value
    assert rate == pytest.approx(rate_of(per_s, [good(one, per_s) for one in per_s.summary.records]))


@pytest.mark.parametrize("seed", range(12))
def test_tokens_per_second_are_those_of_completed_answers(seed: int) -> None:
    case = a_case(seed, "output_tokens_per_s", "rate", 5.0)
    assert judge_rate(case).reason == "not every answer says how many tokens it has: no output_tokens_per_s"
    done = [one for one in case.summary.records if one.outcome is Outcome.COMPLETED]
    silent = {one.index for one in done if one.completion_tokens is None}
    telling = tuple(one for one in case.summary.records if one.index not in silent)
    case = replace(case, summary=replace(case.summary, records=telling))
    tokens = [float(one.completion_tokens or 0) * (one in done) for one in telling]
    assert judge_rate(case).value == pytest.approx(rate_of(case, tokens))


@pytest.mark.parametrize("seed", range(12))
def test_a_tpot_is_not_judged_where_an_answer_does_not_tell_its_tokens(seed: int) -> None:
    case = a_case(seed, "tpot_s", "p99", 0.01)
    done = [one for one in speaking(case) if one.outcome is Outcome.COMPLETED]
    untold = sum(one.completion_tokens is None for one in done)
    said = f"{untold} of {len(speaking(case))} answers do not say how many tokens they have: no TPOT"
    assert (judge_quantile(case).reason == said) == (untold > 0)


def added(values: list[float]) -> float:
    """In their order: `sum` of newer Pythons is more exact than what is to be found here."""
    total = 0.0
    for value in values:
        total += value
    return total


def rate_of(case: Case, weights: list[float] | list[bool]) -> float:
    """What ended after the first answer's end, and by the last request's sending, over that time.

    Without slices: the mean rate of equal slices of a window is that of the window.
    """
    records = case.summary.records
    first = min(one.done_ns for one in records if one.done_ns is not None)
    last = max(one.sent_ns for one in records if one.sent_ns is not None)
    ended = zip((one.done_ns for one in records), weights, strict=True)
    return sum(weight for at, weight in ended if at is not None and first < at <= last) / (
        (last - first) / 1e9
    )

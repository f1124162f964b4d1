"""The rule that ends a run: content when every objective that requests can decide is decided."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from instruments.records import Outcome, RequestRecord
from instruments.slo import ServiceLevelObjective, State, evaluate, until
from instruments.slo.until import Decided
from instruments.statistics import summarize
from tests.instruments.shapes import SECOND, load_run, record

OPEN = {"sampling": {"looks": "open", "requests_most": 1_000}}


def objective(indicator: str = "ttft_s", statistic: str = "p95", **told: Any) -> ServiceLevelObjective:
    limits = {} if "at_least" in told else {"at_most": told.pop("at_most", 3.0)}
    return ServiceLevelObjective("o", "d", "w", indicator, statistic, **limits, **told)


def decided(*objectives: ServiceLevelObjective, family: int = 1, **description: Any) -> Decided:
    return Decided([(one, family) for one in objectives], {**OPEN, **description})


def good(count: int, first: int = 0) -> list[RequestRecord]:
    """Each answered with its first token after a second, one after the other."""
    return [record(index, due=4 * index, ttft=1) for index in range(first, first + count)]


def bad(count: int, first: int = 0) -> list[RequestRecord]:
    return [record(index, due=4 * index, ttft=9) for index in range(first, first + count)]


def fewest_good(rule: Decided) -> int:
    """After how many good requests, none bad, a rule is content for the first time."""
    return next(count for count in range(1, 400) if rule(good(count)))


def test_it_is_content_as_soon_as_the_verdict_of_such_a_run_is_one() -> None:
    p95 = objective()
    needed = fewest_good(decided(p95))
    assert 59 < needed < 200, "one planned look takes 59; to look as often as one likes takes more"
    for count, state in ((needed - 1, State.INCONCLUSIVE), (needed, State.MET)):
        run = replace(load_run(good(count)), description=OPEN)
        assert evaluate(summarize(run), p95).state is state


def test_a_violation_is_a_decision() -> None:
    mixed = [*good(40), *bad(40, first=40)]
    assert decided(objective())(mixed)
    run = replace(load_run(mixed), description=OPEN)
    assert evaluate(summarize(run), objective()).state is State.VIOLATED


def test_all_objectives_have_to_be_decided() -> None:
    p50, p95 = objective(statistic="p50"), objective()
    few = good(fewest_good(decided(p50)))
    assert not decided(p95)(few)
    assert not decided(p50, p95)(few)
    assert not decided(p95, p50)(few)
    many = good(fewest_good(decided(p95)))
    assert decided(p50, p95)(many)


def test_the_one_that_was_open_is_asked_first_and_all_are_asked_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def noted(summary: Any, one: ServiceLevelObjective, *, family: int = 1) -> Any:
        asked.append(one.statistic)
        return evaluate(summary, one, family=family)

    monkeypatch.setattr(until, "evaluate", noted)
    rule = decided(*(objective(statistic=one) for one in ("p50", "p95", "p75")))
    assert not rule(good(40))
    assert not rule(good(41))
    assert asked == ["p50", "p95", "p95"]
    assert rule(good(200))
    assert sorted(asked[3:]) == ["p50", "p75", "p95"]


def test_a_family_makes_a_violation_take_more() -> None:
    """One of five is over the limit where one of twenty may be."""

    def fewest(family: int) -> int:
        rule = decided(objective(), family=family)
        mixed = [record(index, due=20 * index, ttft=9 if index % 5 == 4 else 1) for index in range(400)]
        return next(count for count in range(1, 400) if rule(mixed[:count]))

    assert fewest(1) < fewest(1_000)


def test_what_the_server_says_is_not_waited_for() -> None:
    server = objective("queue_depth", "max", at_most=4)
    gpu = objective("gpu_temperature_c", "max", at_most=80)
    assert decided(server, gpu)(good(1))
    assert not decided(server, gpu, objective())(good(10))


def test_a_count_is_decided_as_it_stands() -> None:
    errors = objective("errors", "count", at_most=0)
    assert decided(errors)(good(1))
    assert decided(errors)([*good(1), record(1, Outcome.FAILED)])


def test_a_run_without_an_answer_is_decided_against_or_not_at_all() -> None:
    failed = [record(index, Outcome.FAILED, due=index) for index in range(200)]
    assert decided(objective())(failed), "all of them are over any limit"
    assert not decided(objective("requests_per_s", "rate", at_least=1.0))(failed[:1])


def test_a_rate_is_of_the_time_from_the_first_due_to_the_last_end() -> None:
    """One request a second, each answered within 3 s at an instant that is drawn: 400 within 402 s."""
    rng = Random(1)
    steady = [
        replace(record(index, due=index), done_ns=round((index + 3 * rng.random()) * SECOND))
        for index in range(400)
    ]
    run = until.so_far(steady, {})
    assert run.window is not None
    assert run.window.start_ns == 0
    assert run.window.end_ns == max(one.done_ns or 0 for one in steady)
    for limit, content in ((0.5, True), (2.0, True), (1.0, False)):
        rate = objective("requests_per_s", "rate", at_least=limit)
        assert Decided([(rate, 1)], {})(steady) is content


def test_the_clients_own_error_is_doubted_as_at_the_end() -> None:
    """Calibrated to be late by 2.5 s, the client cannot tell a TTFT of 1 s from one of 3.5 s."""
    many = good(300)
    assert decided(objective())(many)
    assert not decided(objective(), calibration={"error_p99_s": 2.5})(many)

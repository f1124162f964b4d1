"""What no load of the planned size, and no histogram of the server, can decide is refused before the load."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, isinf, log
from typing import Any

import pytest

from instruments.arrivals import ClosedLoop, Constant
from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective, State, evaluate
from instruments.slo.applies import Applies
from instruments.slo.feasibility import (
    check_feasible,
    check_told,
    least_requests,
    most_requests,
    off_bounds,
    server_of,
    users_of,
)
from instruments.slo.server_metrics import ServerMetrics
from instruments.statistics import summarize
from instruments.statistics.evidence import log_evidence_below
from instruments.statistics.means import mean_bounds
from instruments.statistics.shares import Looks
from instruments.workloads.files import FileWorkload
from instruments.workloads.lengths import Uniform
from instruments.workloads.mixes import Scenario
from instruments.workloads.synthetic import SyntheticWorkload
from tests.instruments.shapes import load_run, record


def objective(indicator: str, statistic: str, **fields: Any) -> ServiceLevelObjective:
    return ServiceLevelObjective("a", "d", "w", indicator, statistic, **fields)


def load(requests_measured: int, **fields: Any) -> SyntheticWorkload:
    paced = {} if "rate_per_s" in fields or "arrival_process" in fields else {"users": 4}
    return SyntheticWorkload("w", "d", requests_measured, output_tokens=8, **{**paced, **fields})


@pytest.mark.parametrize(
    ("found", "needed"),
    [
        # (1 − share)^n <= 1 − confidence: 0.99^298 = 0.0500, 0.99^299 = 0.0495
        (objective("ttft_s", "p99", at_most=1), 299),
        (objective("ttft_s", "p95", at_most=1), 59),
        (objective("ttft_s", "p95", at_most=1, confidence=0.99), 90),
        (objective("e2e_s", "p99.9", at_most=1), 2995),
        (objective("server_ttft_s", "p99", at_most=1), 299),
        (objective("error_share", "share", at_most=0.01), 299),
        (objective("goodput_share", "share", at_least=0.9, per_request={"ttft_s": 1.0}), 29),
        # A mean has bounds from 8 batches of 20 on, at 99 % from 9 (k > r of statistics.sequence).
        (objective("ttft_s", "mean", at_most=1), 160),
        (objective("itl_s", "mean", at_most=1), 160),
        (objective("e2e_s", "mean", at_most=1, confidence=0.5), 160),
        (objective("e2e_s", "mean", at_most=1, confidence=0.99), 180),
        (objective("itl_s", "p99", at_most=1), None),  # of gaps, of which a request has many
        (objective("server_itl_s", "p99", at_most=1), None),
        (objective("errors", "count", at_most=0), None),
        (objective("queue_depth", "p95", at_most=1), None),
        (objective("queue_depth", "mean", at_most=1), None),  # of samples
        (objective("requests_per_s", "rate", at_least=1), None),
    ],
)
def test_so_many_good_requests_it_takes_at_the_least(
    found: ServiceLevelObjective, needed: int | None
) -> None:
    assert least_requests(found) == needed


def file(**fields: Any) -> FileWorkload:
    return FileWorkload("w", "d", "trace.jsonl", fields.pop("format", "mooncake"), **fields)


@pytest.mark.parametrize(
    ("workload", "most"),
    [
        (load(96), 96),
        (load(96, requests_most=400), 400),
        (load(96, turns=3), 288),
        (load(96, turns=Uniform((1, 3))), None),
        (load(96, mix=(Scenario("a"), Scenario("b", turns=2))), 192),
        (file(), None),
        (file(first=50, requests_warmup=5, requests_cooldown=3), 42),
        (file(requests_measured=50, requests_most=80), 80),
        (file(format="jsonl", requests_measured=50, requests_most=80), None),  # of conversations
        (file(format="jsonl", api="completions", requests_measured=50, requests_most=80), 80),
    ],
)
def test_so_many_requests_a_load_can_measure(
    workload: SyntheticWorkload | FileWorkload, most: int | None
) -> None:
    assert most_requests(workload) == most


def test_a_percentile_that_the_count_cannot_show_says_how_many_can() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_feasible("slo.yaml: objectives[0] (a)", objective("ttft_s", "p99", at_most=1), load(298))
    said = str(caught.value)
    assert "slo.yaml: objectives[0] (a): TTFT p99 ≤ 1 s can never be met at 95 % confidence" in said
    assert "the workload 'w'" in said
    assert "at least 299 measured requests" in said
    assert "seen:     298" in said
    assert "requests_measured or requests_most" in said


def test_the_budget_counts_and_not_the_fewest() -> None:
    p99 = objective("ttft_s", "p99", at_most=1)
    check_feasible("a", p99, load(299))
    check_feasible("a", p99, load(20, requests_most=1000))
    check_feasible("a", p99, file())  # nobody knows before the file is read
    with pytest.raises(ConfigurationError, match="can never be met"):
        check_feasible("a", p99, load(20, requests_most=298))


@pytest.mark.parametrize(
    ("statistic", "confidence"), [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.95)]
)
def test_a_run_that_is_looked_at_until_it_is_decided_takes_more(statistic: str, confidence: float) -> None:
    found = objective("ttft_s", statistic, at_most=1, confidence=confidence)
    needed, planned = least_requests(found, Looks.OPEN), least_requests(found)
    assert needed is not None
    assert planned is not None
    assert needed > planned

    def evidence(n: int) -> float:
        return log_evidence_below(0, n, 1 - found.quantile)

    surer = -log((1 - confidence) / 10)  # a pass of such a run is ten times as sure
    assert evidence(needed - 1) < surer <= evidence(needed)
    check_feasible("a", found, load(1, requests_most=needed))
    with pytest.raises(ConfigurationError, match=f"at least {needed} measured requests"):
        check_feasible("a", found, load(1, requests_most=needed - 1))


def judged_good(requests: int) -> State:
    """TTFT p95 ≤ 3 s after a run with an open end, each request of which was within it."""
    answers = [record(index, due=4 * index, ttft=1) for index in range(requests)]
    run = replace(load_run(answers), description={"sampling": {"looks": "open", "requests_most": 1_000}})
    return evaluate(summarize(run), objective("ttft_s", "p95", at_most=3)).state


def test_what_is_refused_is_what_judging_can_never_meet() -> None:
    """-log(0.005) is reached with 122 good requests against 5 %; at 0.05 it would be with 72."""
    p95 = objective("ttft_s", "p95", at_most=1)
    assert least_requests(p95, Looks.OPEN) == 122
    assert [judged_good(n) for n in (72, 121, 122)] == [State.INCONCLUSIVE] * 2 + [State.MET]
    check_feasible("a", p95, load(1, requests_most=122))
    for most in (110, 121):
        with pytest.raises(ConfigurationError, match="at least 122 measured requests"):
            check_feasible("a", p95, load(1, requests_most=most))


@pytest.mark.parametrize(
    ("looks", "needed", "count"),
    [(Looks.PLANNED, 160, "requests_measured"), (Looks.OPEN, 200, "requests_most")],
)
def test_a_mean_needs_as_many_values_as_its_bounds_do(looks: Looks, needed: int, count: str) -> None:
    mean = objective("ttft_s", "mean", at_most=1)
    assert least_requests(mean, looks) == needed
    error = 0.05 if looks is Looks.PLANNED else 0.005
    few, enough = (mean_bounds(range(n), 0.05, error) for n in (needed - 1, needed))
    assert few is None or isinf(few[1])
    assert enough is not None
    assert isfinite(enough[1])
    check_feasible("a", mean, load(**{"requests_measured": 1, count: needed}))
    with pytest.raises(ConfigurationError) as caught:
        check_feasible("a", mean, load(**{"requests_measured": 1, count: needed - 1}))
    said = str(caught.value)
    assert "TTFT mean ≤ 1 s can never be met at 95 % confidence" in said
    assert f"at least {needed} measured requests, all of them completed" in said
    assert "quantile" not in said


@pytest.mark.parametrize(
    ("workload", "users"),
    [
        (load(8), 4),
        (load(8, users=None, rate_per_s=2.0), None),
        (load(8, users=None, arrival_process=ClosedLoop(7)), 7),
        (load(8, users=None, arrival_process=Constant(2.0)), None),
        (file(users=3), 3),
        (file(), None),
    ],
)
def test_a_load_has_users_or_has_none(workload: SyntheticWorkload | FileWorkload, users: int | None) -> None:
    assert users_of(workload) == users


def test_users_that_a_load_has_not_are_refused() -> None:
    for_users = objective("ttft_s", "p95", at_most=1, applies=Applies(users=(16, 64)))
    check_feasible("a", for_users, load(96, users=64))
    with pytest.raises(ConfigurationError, match=r"a: applies\.users: the workload 'w' is not one of users"):
        check_feasible("a", for_users, load(96, rate_per_s=2.0, users=None))
    with pytest.raises(ConfigurationError) as caught:
        check_feasible("a", for_users, load(96, users=4))
    said = str(caught.value)
    assert "a: applies.users: the workload 'w' has other users: it would never apply" in said
    assert "16 or 64 users" in said
    assert "seen:     4" in said


@pytest.mark.parametrize(
    ("indicator", "limit", "said"),
    [
        ("server_ttft_s", 0.25, None),
        ("server_ttft_s", 0.2, "nothing else tells; next to it: 0.1 and 0.25"),
        ("server_ttft_s", 0.0005, "next to it: 0.001"),
        ("server_ttft_s", 5000.0, "next to it: 2560"),
        ("server_itl_s", 0.075, None),
        ("server_itl_s", 0.06, "next to it: 0.05 and 0.075"),
        ("server_e2e_s", 1.0, None),
        ("server_e2e_s", 3.0, "next to it: 2.5 and 5"),
        ("ttft_s", 0.2, None),  # the client knows
        ("queue_depth", 0.2, None),
    ],
)  # fmt: skip
def test_a_limit_off_the_bounds_is_named_with_those_next_to_it(
    indicator: str, limit: float, said: str | None
) -> None:
    found = off_bounds(objective(indicator, "p95", at_most=limit), ServerMetrics())
    assert found == said or (said is not None and found is not None and found.endswith(said))


def test_a_limit_outside_all_bounds_is_refused_and_one_between_is_not() -> None:
    known, said = ServerMetrics(), r"a: server TTFT p95 ≤ "

    def limited(limit: float) -> ServiceLevelObjective:
        return objective("server_ttft_s", "p95", at_most=limit)

    for limit in (0.001, 0.2, 0.25, 2560.0):
        check_told("a", limited(limit), known)
    check_told("a", objective("ttft_s", "p95", at_most=5000), known)  # the client knows
    with pytest.raises(ConfigurationError, match=rf"{said}5000 s: .* beyond the last finite bound"):
        check_told("a", limited(5000), known)
    with pytest.raises(ConfigurationError, match=rf"{said}0\.0005 s can never be met: .* the first bound"):
        check_told("a", limited(0.0005), known)
    theirs = server_of(("--custom-histogram-buckets", '{"time_to_first_token": [1, 9000]}'))
    check_told("a", limited(5000), theirs)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--custom-histogram-buckets", '{"time_to_first_token": [0.1, 0.2]}', "--max-num-seqs", "64"),
        ('--custom-histogram-buckets={"time_to_first_token": [0.1, 0.2]}',),
    ],
)
def test_bounds_that_the_engine_is_started_with_count(arguments: tuple[str, ...]) -> None:
    server = server_of(arguments)
    assert off_bounds(objective("server_ttft_s", "p95", at_most=0.2), server) is None
    assert off_bounds(objective("server_ttft_s", "p95", at_most=0.25), server) is not None
    assert off_bounds(objective("server_e2e_s", "p95", at_most=1.0), server) is None


def test_other_arguments_leave_the_bounds_as_they_are() -> None:
    assert server_of(("--max-num-seqs", "64")) == ServerMetrics()


@pytest.mark.parametrize("told", ["", "0.1", '{"time_to_first_token": 3}', '{"time_to_first_token": [2, 1]}'])
def test_bounds_that_the_engine_would_refuse_are_refused(told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        server_of(("--custom-histogram-buckets", told))
    assert "--custom-histogram-buckets of the engine cannot be read" in str(caught.value)

"""A probe of a search for capacity: its budget of errors, when it may end, and what a search can hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from instruments.cli.capacity import lines
from instruments.errors import ConfigurationError
from instruments.fleet import LoadSpec
from instruments.records import RequestRecord
from instruments.slo import ServiceLevelObjective, State
from instruments.slo.applies import Applies, Place
from instruments.slo.capacity import CapacityResult
from instruments.statistics.summary import RunSummary, summarize
from instruments.target import Target
from instruments.trials.held import apart, check_held, objectives_of
from instruments.trials.knee import KneeSearch, _rule, judge_level
from instruments.workloads.synthetic import SyntheticWorkload
from tests.instruments.shapes import load_run, record

ERROR = 0.05 / 12  # of one probe of twelve, at 95 %


def objective(
    indicator: str = "ttft_s", statistic: str = "p90", limit: float = 3.0, **told: Any
) -> ServiceLevelObjective:
    told = {"id": "o", "workload": "w"} | told
    return ServiceLevelObjective(
        description="d", indicator=indicator, statistic=statistic, at_most=limit, **told
    )


def answered(count: int, ttft: int = 1) -> list[RequestRecord]:
    return [record(number, due=20 * number, ttft=ttft) for number in range(count)]


def planned(records: Sequence[RequestRecord]) -> RunSummary:
    return summarize(load_run(records))


def test_a_level_is_met_with_the_error_of_a_probe_and_not_with_an_objectives_own() -> None:
    """0.9 ** 29 = 0.047 is enough for 95 %; for 0.05 / 12 it takes 0.9 ** 53 = 0.0038, 0.9 ** 52 = 0.0042."""
    p90 = objective(confidence=0.95)
    states = {count: judge_level(planned(answered(count)), [p90], ERROR)[0] for count in (29, 52, 53)}
    assert states == {29: State.INCONCLUSIVE, 52: State.INCONCLUSIVE, 53: State.MET}


def test_a_level_is_violated_with_the_error_of_a_probe_shared_by_its_objectives() -> None:
    """All are over the median's limit: 0.5 ** 7 = 0.0078 is within 0.01, 0.5 ** 8 = 0.0039 in half of it."""
    p50, calm = objective(statistic="p50"), objective("e2e_s", limit=100.0, id="calm")
    for objectives, fewest in (([p50], 7), ([p50, calm], 8), ([calm, p50], 8)):
        for count, state in ((fewest - 1, State.INCONCLUSIVE), (fewest, State.VIOLATED)):
            assert judge_level(planned(answered(count, ttft=9)), objectives, 0.01)[0] is state


def test_all_have_to_be_met_and_one_violated_is_enough() -> None:
    p90, slow = objective(), objective("e2e_s", limit=100.0, id="slow")
    assert judge_level(planned(answered(100)), [p90, slow], ERROR)[0] is State.MET
    state, evidence = judge_level(planned(answered(100, ttft=9)), [p90, slow], ERROR)
    assert state is State.VIOLATED
    assert "TTFT p90 ≤ 3 s VIOLATED" in evidence
    assert "E2E p90 ≤ 100 s MET" in evidence


def spec() -> LoadSpec:
    workload = SyntheticWorkload(
        "w", "d", users=4, output_tokens=8, requests_measured=10, requests_most=1_000
    )
    return LoadSpec("w", workload, Target("http://127.0.0.1:1"), "tiny", 1, Path("w.jsonl"))


def test_a_probe_may_end_when_its_level_is_decided() -> None:
    p90, p99 = objective(), objective("e2e_s", "p99", 100.0, id="tail")
    decided = _rule(spec(), [p90, p99], ERROR)
    assert not decided(answered(100)), "of a p99 a hundred good ones say little"
    assert decided(answered(100, ttft=9)), "one objective is violated: the other need not be waited for"
    alone = _rule(spec(), [p90], ERROR)
    assert not alone(answered(53)), "to look as often as one likes takes more than one look"
    assert alone(answered(200))


def test_objectives_are_of_one_workload() -> None:
    chat, batch = objective(id="chat", workload="chat"), objective(id="batch", workload="batch")
    advisory = objective(id="tail", workload="chat", required=False)
    both = [chat, batch, advisory]
    assert objectives_of([chat, advisory], None, None, "f.yaml") == (chat,)
    assert objectives_of(both, "batch", "chat", "f.yaml") == (batch,)
    assert objectives_of(both, None, "chat", "f.yaml") == (chat,)
    for given, asked, loaded, told in (
        (both, None, None, "f.yaml is for several workloads: a search holds those of one"),
        (both, "other", None, "f.yaml has no objective for 'other'"),
        ([chat], None, "batch", "f.yaml has no objective for 'batch'"),
        ([advisory], None, None, "f.yaml has no required objective"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            objectives_of(given, asked, loaded, "f.yaml")
        assert told in str(refused.value)


def a_search(tmp_path: Path, *objectives: ServiceLevelObjective) -> KneeSearch:
    workload = SyntheticWorkload("w", "d", users=1, output_tokens=8, requests_measured=1)
    return KneeSearch(workload, objectives, tmp_path / "search", 1, "users", 1, 8)


@pytest.mark.parametrize(
    ("indicator", "statistic", "told"),
    [
        ("queue_depth", "max", {}),
        ("server_ttft_s", "p95", {}),
        ("gpu_temperature_c", "max", {}),
        ("energy_j_per_good_token", "value", {}),
        ("cost_per_good_token", "value", {"cost_per_hour": 2.0}),
    ],
)
def test_what_no_probe_decides_is_refused_by_its_name(
    tmp_path: Path, indicator: str, statistic: str, told: dict[str, Any]
) -> None:
    named = objective(indicator, statistic, id="not-of-requests", **told)
    with pytest.raises(ConfigurationError, match=f"objective not-of-requests: {indicator}"):
        a_search(tmp_path, objective(), named).search()


@pytest.mark.parametrize(
    ("indicator", "statistic"),
    [("ttft_s", "p90"), ("itl_s", "p90"), ("error_share", "share"), ("errors", "count")],
)
def test_what_requests_decide_can_be_held(tmp_path: Path, indicator: str, statistic: str) -> None:
    limit = 0.1 if statistic == "share" else 3.0
    assert a_search(tmp_path, objective(indicator, statistic, limit)).search().next_level() == 1


def test_an_objective_for_some_users_is_refused_where_the_search_varies_them(tmp_path: Path) -> None:
    bound = objective(id="at-64", applies=Applies(users=(64,)))
    with pytest.raises(ConfigurationError, match=r"objective at-64: applies\.users: it is for 64 users"):
        a_search(tmp_path, bound).search()
    with pytest.raises(ConfigurationError, match="nothing to hold"):
        check_held([])


def test_an_objective_for_another_model_is_left_out_with_the_reason() -> None:
    here, there = objective(id="here"), objective(id="there", applies=Applies(models=("*70B*",)))
    elsewhere = objective(id="elsewhere", applies=Applies(environments=("cloud",)))
    held, left_out = apart([here, there, elsewhere], Place(model="tiny"))
    assert held == (here, elsewhere)  # nobody said which environment this is
    assert left_out == {"there": "for *70B*, this is tiny"}


@pytest.mark.parametrize(
    ("ends", "by", "said"),
    [
        ((16, 23, 24), "users", "capacity 16 to 23 users"),
        ((48, 56, 64), "users", "capacity 48 to below 64 users"),
        ((16, 23, 24), "rate", "capacity 16 to below 24 requests per second"),
        ((None, 7, 8), "users", "capacity at most 7 users"),
        ((None, 56, 64), "users", "capacity below 64 users"),
        ((16, None, None), "users", "capacity at least 16 users"),
        ((None, None, None), "users", "capacity not known, users"),
    ],
)
def test_the_interval_ends_where_levels_were_tried(
    ends: tuple[float | None, float | None, float | None], by: str, said: str
) -> None:
    low, high, violated = ends
    told = lines(CapacityResult(low, high, (), 0.95, "why", violated=violated), by, None)
    assert told[0].startswith(said)


def test_a_promise_that_was_not_tried_says_so() -> None:
    result = CapacityResult(48, 56, (), 0.95, "why", violated=64)
    told = lines(result, "users", 60)
    assert told[1] == "INCONCLUSIVE: the promised 60 users; headroom 0.8 to below 1.07 times"
    assert told[2].strip().startswith("60 was not tried")
    assert not any("not tried" in line for line in lines(result, "users", 64))

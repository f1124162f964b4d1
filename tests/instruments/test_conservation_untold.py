"""Conservation laws where a sum cannot be taken: INCONCLUSIVE, with the reason, and never a pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from instruments.records import Outcome
from instruments.slo.conservation import LAWS
from instruments.slo.verdict import ObjectiveInconclusive, State
from tests.instruments import books
from tests.instruments.books import clients, in_state, judged
from tests.instruments.shapes import CALM
from tests.instruments.shapes import record as request


def test_with_others_on_the_server_nothing_is_told() -> None:
    for one in judged(exclusive=False).values():
        assert one.state is State.INCONCLUSIVE
        assert "other clients may use the server" in one.reason
        with pytest.raises(ObjectiveInconclusive):
            one.require_met()


def test_a_load_that_sent_nothing_proves_nothing() -> None:
    verdicts = judged(clients(records=()), books.record(later=books.BEFORE))
    assert in_state(verdicts, State.INCONCLUSIVE) == set(LAWS)
    assert {one.reason for one in verdicts.values()} == {"nothing was sent"}


def test_a_load_of_which_no_request_was_answered_proves_nothing_of_its_sums() -> None:
    """0 tokens are 0 tokens, at a server that was never asked."""
    failed = [request(index, outcome) for index, outcome in enumerate([Outcome.FAILED, Outcome.REFUSED])]
    verdicts = judged(clients(records=tuple(failed)), books.record(later=books.BEFORE))
    assert in_state(verdicts, State.MET) == {"drained", "kv-cache"}
    assert not in_state(verdicts, State.VIOLATED)
    assert "none of 2 requests was answered" in verdicts["requests"].reason


@pytest.mark.parametrize("side", ["before", "after"])
def test_without_a_snapshot_nothing_is_told_and_the_reason_is_the_sources(side: str) -> None:
    gone: dict[str, Any] = {side: None}
    server = replace(books.record(problems=("it did not answer at 12:00",)), **gone)
    for one in judged(server=server).values():
        assert one.state is State.INCONCLUSIVE
        assert one.reason == f"a scrape told nothing {side} the load: it did not answer at 12:00"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (
            {"complete": False, "stopped_because": "20 requests in a row failed"},
            "20 requests in a row failed",
        ),
        ({"problems": ("a torn line",)}, "a torn line"),
        ({"complete": False}, "for no reason that it tells"),
    ],
)
def test_a_run_that_may_have_lost_records_is_weighed_against_nothing(
    changed: dict[str, Any], why: str
) -> None:
    verdicts = judged(clients(**changed))
    assert in_state(verdicts, State.MET) == {"drained", "kv-cache"}
    assert verdicts["requests"].state is State.INCONCLUSIVE
    assert why in verdicts["requests"].reason


def test_a_server_that_was_busy_before_the_load_counts_others_requests() -> None:
    verdicts = judged(server=books.record(before={**books.BEFORE, "vllm:num_requests_running": 2}))
    assert in_state(verdicts, State.MET) == {"drained", "kv-cache"}
    assert "2 requests were running and 0 waiting before the load" in verdicts["requests"].reason


def test_several_answers_to_one_request_are_several_requests_to_vllm() -> None:
    """n = 2 in one of the four: five answers."""
    verdicts = judged(server=books.doctored(**{"vllm:request_params_n_sum": 1}))
    assert in_state(verdicts, State.MET) == {"drained", "kv-cache"}
    assert "4 requests asked for 5 answers" in verdicts["generation-tokens"].reason


@pytest.mark.parametrize(
    ("missing", "field", "law"),
    [
        ("usage", "completion_tokens", "generation-tokens"),
        ("usage", "prompt_tokens", "prompt-tokens"),
        ("finish_reason", "finish_reason", "finish-reasons"),
    ],
)
def test_answers_that_do_not_say_leave_their_law_open(missing: str, field: str, law: str) -> None:
    unsaid: dict[str, Any] = {field: None}
    records = tuple(replace(one, **unsaid) if one.index == 1 else one for one in clients().records)
    verdicts = judged(clients(records=records))
    assert in_state(verdicts, State.INCONCLUSIVE) == {law}
    assert verdicts[law].reason == f"1 of 4 answers came without {'a ' * (missing != 'usage')}{missing}"


def test_a_finish_reason_that_vllm_does_not_have_is_named() -> None:
    records = tuple(
        replace(one, finish_reason="eos_token") if one.index == 1 else one for one in clients().records
    )
    verdict = judged(clients(records=records))["finish-reasons"]
    assert verdict.state is State.INCONCLUSIVE
    assert "eos_token" in verdict.reason


def test_a_cache_that_held_more_before_than_after_was_not_idle() -> None:
    verdict = judged(server=books.doctored(**{"vllm:kv_cache_usage_perc": -0.1}))["kv-cache"]
    assert verdict.state is State.INCONCLUSIVE


def test_a_clock_that_was_set_leaves_the_times_open_and_nothing_else() -> None:
    verdicts = judged(clients(client=replace(CALM, clock_steps=1)))
    timed = {law for law in LAWS if law.startswith(("ttft", "e2e"))}
    assert in_state(verdicts, State.INCONCLUSIVE) == timed
    assert "was set" in verdicts["e2e-order"].reason
    assert in_state(judged(clients(client=None)), State.INCONCLUSIVE) == timed


# --- series ---

# A series, and the laws that cannot do without it.
NEEDED: list[tuple[str, set[str]]] = [
    ("vllm:request_success_total{finished_reason=length}", {"requests", "finish-reasons"}),
    ("vllm:generation_tokens_total", {"generation-tokens"}),
    ("vllm:prompt_tokens_total", {"prompt-tokens"}),
    ("vllm:kv_cache_usage_perc", {"kv-cache"}),
    (
        "vllm:time_to_first_token_seconds_count",
        {"requests", "first-tokens", "ttft-order", "ttft-overhead"},
    ),
    ("vllm:time_to_first_token_seconds_sum", {"ttft-order", "ttft-overhead"}),
    ("vllm:time_to_first_token_seconds_bucket{le=2.5}", {"ttft-order"}),
    ("vllm:e2e_request_latency_seconds_count", {"requests", "e2e-order", "e2e-overhead"}),
    ("vllm:e2e_request_latency_seconds_sum", {"e2e-order", "e2e-overhead"}),
    ("vllm:e2e_request_latency_seconds_bucket{le=5.0}", {"e2e-order"}),
]
COUNTERS = [(series, laws) for series, laws in NEEDED if laws != {"kv-cache"}]


def name_of(series: str) -> str:
    return series.partition("{")[0]


def require_untold(verdicts: dict[str, Any], laws: set[str], *words: str) -> None:
    """These laws are INCONCLUSIVE and say the words; all others are met."""
    assert in_state(verdicts, State.INCONCLUSIVE) == laws
    assert in_state(verdicts, State.MET) == set(LAWS) - laws
    for law in laws:
        assert all(word in verdicts[law].reason for word in words), verdicts[law].reason


@pytest.mark.parametrize(("series", "laws"), NEEDED)
def test_a_metric_that_the_server_does_not_have_is_named(series: str, laws: set[str]) -> None:
    name = name_of(series)
    both = [{one: value for one, value in side.items() if name_of(one) != name} for side in sides()]
    require_untold(judged(server=books.record(*both)), laws, name)


@pytest.mark.parametrize(("series", "laws"), NEEDED)
def test_a_series_that_vanished_is_named(series: str, laws: set[str]) -> None:
    before, later = sides()
    del later[series]
    require_untold(judged(server=books.record(before, later)), laws, name_of(series))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("series", "laws"), NEEDED)
def test_a_series_that_is_not_a_number_is_named(series: str, laws: set[str], side: int) -> None:
    both = sides()
    both[side][series] = float("nan")
    require_untold(judged(server=books.record(*both)), laws, name_of(series), "not a number")


@pytest.mark.parametrize(("series", "laws"), COUNTERS)
def test_a_counter_that_was_reset_is_named_and_nothing_is_made_of_what_is_left(
    series: str, laws: set[str]
) -> None:
    """It had counted a thousand more before: what it says after is from 0."""
    before, later = sides()
    before[series] += 1000
    require_untold(judged(server=books.record(before, later)), laws, name_of(series), "began anew")


def test_a_server_that_was_restarted_in_between_is_seen_by_its_birth() -> None:
    """All counters are where they must be, and the process is another one."""
    before, later = sides()
    before["process_start_time_seconds"], later["process_start_time_seconds"] = 1000.0, 1060.0
    server = books.record(before, later)
    process = ("process_start_time_seconds", frozenset[tuple[str, str]]())
    assert server.before is not None
    assert server.after is not None
    for snapshot, born_s in ((server.before, 1000.0), (server.after, 1060.0)):
        snapshot.samples[process] = born_s  # type: ignore[index]  # a dict, as every maker makes it
    verdicts = judged(server=server)
    assert in_state(verdicts, State.MET) == {"drained", "kv-cache"}
    assert not in_state(verdicts, State.VIOLATED)


@pytest.mark.parametrize(("series", "laws"), COUNTERS)
def test_a_metric_that_came_into_being_during_the_load_started_nobody_knows_where(
    series: str, laws: set[str]
) -> None:
    before, later = sides()
    name = name_of(series)
    before = {one: value for one, value in before.items() if name_of(one) != name}
    require_untold(judged(server=books.record(before, later)), laws, name, "not before it")


def test_a_declared_counter_without_a_series_started_at_0() -> None:
    """vLLM 0.6 makes the series of a finish reason with its first count."""
    name = "vllm:request_success_total"
    before, later = sides()
    for series in [one for one in before if name_of(one) == name]:
        later[series] -= before.pop(series)
    server = books.record(before, later)
    fresh = replace(server, before=books.snapshot(before, {name: "counter"}))
    assert in_state(judged(server=fresh), State.MET) == set(LAWS)
    assert in_state(judged(server=server), State.INCONCLUSIVE) == {"requests", "finish-reasons"}


@pytest.mark.parametrize("gauge", ["vllm:num_requests_running", "vllm:num_requests_waiting"])
def test_without_the_gauges_of_a_queue_nobody_knows_what_the_counts_enclose(gauge: str) -> None:
    before, later = sides()
    del later[gauge]
    verdicts = judged(server=books.record(before, later))
    assert in_state(verdicts, State.MET) == {"kv-cache"}
    assert not in_state(verdicts, State.VIOLATED)
    assert f"the server showed no {gauge} after the load" in verdicts["requests"].reason


def sides() -> list[dict[str, float]]:
    return [dict(books.BEFORE), books.after()]

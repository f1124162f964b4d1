"""Conservation laws on books written by hand: each holds, each breaks by one, and each breaks alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruments.slo.conservation import LAWS, LawVerdict
from instruments.slo.verdict import ObjectiveViolated, State
from tests.instruments import books
from tests.instruments.books import clients, in_state, judged
from tests.instruments.shapes import CALM
from tests.instruments.shapes import record as request

SUCCESS = "vllm:request_success_total{finished_reason=%s}"
TTFT = "vllm:time_to_first_token_seconds"
E2E = "vllm:e2e_request_latency_seconds"


def test_every_law_is_met_where_nothing_was_lost() -> None:
    verdicts = judged()
    assert in_state(verdicts, State.MET) == set(LAWS), verdicts
    said = {law: (one.expected, one.seen) for law, one in verdicts.items()}
    assert said["requests"] == ("4 successes + 2 refused + 0 aborted", "4 successes + 2 refused + 0 aborted")
    assert said["finish-reasons"] == ("3 length, 1 stop", "3 length, 1 stop")
    assert said["first-tokens"] == ("4 first tokens", "4")
    assert said["generation-tokens"] == ("12 tokens", "12 (+0)")
    assert said["prompt-tokens"] == ("20 tokens", "20 (+0)")
    assert said["drained"] == ("0 running, 0 waiting", "0 running, 0 waiting")
    assert said["kv-cache"] == ("0.125", "0.125")
    assert said["ttft-overhead"] == ("at most 0.05 s between", "0.02 s")
    assert said["e2e-overhead"] == ("at most 0.05 s between", "0.03 s")
    assert verdicts["ttft-overhead"].value == pytest.approx(0.02)
    assert verdicts["e2e-overhead"].value == pytest.approx(0.03)
    for one in verdicts.values():
        one.require_met()


# One number of the server's, by how much it is off, the laws that break, and those that cannot be told.
DOCTORED: list[tuple[dict[str, float], set[str], set[str]]] = [
    ({SUCCESS % "length": -1}, {"requests", "finish-reasons"}, set()),
    ({SUCCESS % "length": 1}, {"requests", "finish-reasons"}, set()),
    ({SUCCESS % "length": -1, SUCCESS % "stop": 1}, {"finish-reasons"}, set()),
    ({SUCCESS % "abort": 1}, {"requests", "finish-reasons"}, set()),
    ({"vllm:generation_tokens_total": -1}, {"generation-tokens"}, set()),
    ({"vllm:generation_tokens_total": 1}, {"generation-tokens"}, set()),
    ({"vllm:prompt_tokens_total": -1}, {"prompt-tokens"}, set()),
    ({"vllm:prompt_tokens_total": 1}, {"prompt-tokens"}, set()),
    ({"vllm:kv_cache_usage_perc": 0.001}, {"kv-cache"}, set()),
    ({f"{TTFT}_bucket{{le=2.5}}": -1}, {"ttft-order"}, set()),
    ({f"{TTFT}_sum": 4 * 0.03}, {"ttft-order"}, {"ttft-overhead"}),
    ({f"{TTFT}_sum": -4 * 0.04}, {"ttft-overhead"}, set()),
    ({f"{E2E}_bucket{{le=5.0}}": -1}, {"e2e-order"}, set()),
    ({f"{E2E}_sum": 4 * 0.04}, {"e2e-order"}, {"e2e-overhead"}),
    ({f"{E2E}_sum": -4 * 0.03}, {"e2e-overhead"}, set()),
    ({f"{TTFT}_count": 1}, {"requests", "first-tokens"}, {"ttft-overhead"}),
    ({f"{TTFT}_count": -1}, {"requests", "first-tokens"}, {"ttft-order", "ttft-overhead"}),
    ({f"{E2E}_count": -1}, {"requests"}, {"e2e-order", "e2e-overhead"}),
    ({f"{E2E}_count": 1}, {"requests"}, {"e2e-overhead"}),
]


@pytest.mark.parametrize(("by", "broken", "untold"), DOCTORED, ids=lambda one: str(one)[:60])
def test_a_number_that_is_off_breaks_the_laws_that_speak_of_it(
    by: dict[str, float], broken: set[str], untold: set[str]
) -> None:
    verdicts = judged(server=books.doctored(**by))
    assert in_state(verdicts, State.VIOLATED) == broken
    assert in_state(verdicts, State.INCONCLUSIVE) == untold
    for law in broken:
        assert verdicts[law].expected != verdicts[law].seen
        with pytest.raises(ObjectiveViolated, match=f"VIOLATED: {law} on a-run"):
            verdicts[law].require_met()


def test_each_law_is_broken_by_one_of_these() -> None:
    assert set().union(*(broken for _, broken, _ in DOCTORED)) | {"drained"} == set(LAWS)


@pytest.mark.parametrize("gauge", ["running", "waiting"])
def test_a_server_that_is_still_busy_is_not_drained_and_its_counts_are_not_final(gauge: str) -> None:
    verdicts = judged(server=books.doctored(**{f"vllm:num_requests_{gauge}": 1}))
    assert in_state(verdicts, State.VIOLATED) == {"drained"}
    assert in_state(verdicts, State.MET) == {"kv-cache"}
    assert f"1 {gauge}" in verdicts["drained"].seen
    assert "after the load" in verdicts["requests"].reason


def test_a_request_that_the_server_never_saw_breaks_the_law() -> None:
    """A fifth answer, of which the server knows nothing, and which by luck had no tokens."""
    records = (*clients().records, replace(request(7), completion_tokens=0, prompt_tokens=0))
    broken = in_state(judged(clients(records=records)), State.VIOLATED)
    assert broken == {"requests", "finish-reasons"}


def test_an_answer_without_a_token_is_no_first_token() -> None:
    records = tuple(
        replace(one, completion_tokens=0, first_token_ns=None) if one.index == 0 else one
        for one in clients().records
    )
    verdicts = judged(clients(records=records), books.doctored(**{f"{TTFT}_count": -1}))
    assert verdicts["first-tokens"].state is State.MET
    assert verdicts["first-tokens"].expected == "3 first tokens"


def test_late_stamps_can_save_from_violated_but_not_make_met() -> None:
    """20 ms lie between as stamped; a loop that is 15 ms late at p99 may have made 5 of them into 20."""
    late = replace(CALM, loop_lag_p99_s=0.015)
    for budget_s, calm, lagging in [
        (0.03, State.MET, State.MET),
        (0.019, State.VIOLATED, State.INCONCLUSIVE),
        (0.004, State.VIOLATED, State.VIOLATED),
    ]:
        found = [
            judged(clients(client=client), overhead_budget_s=budget_s)["ttft-overhead"].state
            for client in (replace(CALM, loop_lag_p99_s=0.0), late)
        ]
        assert found == [calm, lagging], budget_s


def test_drafted_tokens_behind_a_stop_string_are_counted_and_not_sent() -> None:
    """vLLM counts a whole step of speculative decoding before it cuts at the stop string."""
    accepted = {"vllm:spec_decode_num_accepted_tokens_total": 0.0}
    for over, drafted, state in [(2, 6, State.INCONCLUSIVE), (2, 1, State.VIOLATED), (0, 6, State.MET)]:
        later = books.after() | {"vllm:spec_decode_num_accepted_tokens_total": float(drafted)}
        later["vllm:generation_tokens_total"] += over
        records = tuple(
            replace(one, finish_reason="stop") if one.finish_reason == "tool_calls" else one
            for one in clients().records
        )
        server = books.record({**books.BEFORE, **accepted}, later)
        assert judged(clients(records=records), server)["generation-tokens"].state is state


def test_a_verdict_goes_through_a_document() -> None:
    for one in [*judged().values(), *judged(exclusive=False).values()]:
        document = one.document()
        assert document["statement"] == LAWS[one.law]
        assert LawVerdict.from_document(document) == one

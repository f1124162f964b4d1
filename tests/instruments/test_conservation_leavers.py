"""Conservation laws where clients left: bounded, from what they saw to what they asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from instruments.records import LoadRun, Outcome, RequestRecord
from instruments.slo.conservation import LAWS
from instruments.slo.verdict import State
from instruments.telemetry.record import ServerRecord
from tests.instruments import books
from tests.instruments.books import clients, in_state, judged
from tests.instruments.shapes import SECOND
from tests.instruments.shapes import record as request

# Of the four answers of the books two stay; a client left after 2 chunks, another before anything came.
SUCCESSES = "vllm:request_success_total{finished_reason=length}"
# The server: two ends less, and what goes with them; 2 tokens of the prompt and one more than were seen stay.
LEFT = {
    SUCCESSES: -2,
    "vllm:request_prompt_tokens_sum": -10,
    "vllm:request_generation_tokens_sum": -6,
    "vllm:request_params_n_sum": -2,
    "vllm:request_params_n_count": -2,
    "vllm:e2e_request_latency_seconds_count": -2,
    "vllm:e2e_request_latency_seconds_sum": -2 * 2.97,
    "vllm:e2e_request_latency_seconds_bucket{le=5.0}": -2,
    "vllm:e2e_request_latency_seconds_bucket{le=+Inf}": -2,
    "vllm:time_to_first_token_seconds_count": -1,
    "vllm:time_to_first_token_seconds_sum": -0.98,
    "vllm:time_to_first_token_seconds_bucket{le=2.5}": -1,
    "vllm:time_to_first_token_seconds_bucket{le=+Inf}": -1,
    "vllm:generation_tokens_total": -6 + 3,
    "vllm:prompt_tokens_total": -10 + 5,
}


def left(index: int, *, chunks: int, **changed: Any) -> RequestRecord:
    """A client that left: with a first token after a second, if anything came."""
    arrivals = tuple(SECOND * (1 + number) for number in range(chunks))
    first = arrivals[0] if arrivals else None
    record = replace(
        request(index, Outcome.CANCELLED), chunks_ns=arrivals, first_token_ns=first, left_ns=SECOND
    )
    return replace(record, **changed)


def leavers(*more: RequestRecord, asked: int | None = 3) -> LoadRun:
    """Answers 0 and 3, one that left after 2 chunks, one that left before a token; 2 refused."""
    answered = [one for one in clients().records if one.index not in (1, 2)]
    run = clients(records=(*answered, *(more or (left(1, chunks=2), left(2, chunks=0)))))
    return replace(run, description={"workload": {"output_tokens": asked}} if asked else {})


def server(**by: float) -> ServerRecord:
    return books.doctored(**{name: LEFT.get(name, 0) + by.get(name, 0) for name in {*LEFT, *by}})


def test_clients_that_left_are_between_what_they_saw_and_what_they_asked_for() -> None:
    verdicts = judged(leavers(), server())
    assert in_state(verdicts, State.MET) == set(LAWS), verdicts
    said = {law: (one.expected, one.seen) for law, one in verdicts.items()}
    assert said["requests"] == (
        "2 to 4 successes; with the refused and the aborted 5 to 6",
        "2 successes + 2 refused + 1 aborted = 5",
    )
    assert said["finish-reasons"] == ("1 length, 1 stop", "1 length, 1 stop")
    assert said["first-tokens"] == ("3 to 4 first tokens", "3")
    assert said["generation-tokens"] == (
        "8 to 12 tokens, 6 of them of finished requests",
        "9, 6 of finished requests",
    )
    assert said["prompt-tokens"] == (
        "at least 11 tokens, 10 of them of finished requests",
        "15, 10 of finished requests",
    )
    assert verdicts["ttft-overhead"].value == pytest.approx(0.02)  # of the three whose first token was seen


DOCTORED: list[tuple[dict[str, float], set[str], set[str]]] = [
    # A leaver more among the aborted than saw a token: the other one, whose token nobody saw.
    ({"vllm:time_to_first_token_seconds_count": 1}, set(), {"ttft-overhead"}),
    ({"vllm:time_to_first_token_seconds_count": 2}, {"requests", "first-tokens"}, {"ttft-overhead"}),
    (
        {"vllm:time_to_first_token_seconds_count": -1},
        {"requests", "first-tokens"},
        {"ttft-order", "ttft-overhead"},
    ),
    ({"vllm:generation_tokens_total": -2}, {"generation-tokens"}, set()),  # one less than clients saw
    ({"vllm:generation_tokens_total": 3}, set(), set()),  # all that they asked for
    ({"vllm:generation_tokens_total": 4}, {"generation-tokens"}, set()),
    ({"vllm:request_generation_tokens_sum": 1}, {"generation-tokens"}, set()),
    ({"vllm:request_generation_tokens_sum": -1}, {"generation-tokens"}, set()),
    ({"vllm:prompt_tokens_total": -5}, {"prompt-tokens"}, set()),  # of the leaver that got a token not one
    ({"vllm:request_prompt_tokens_sum": 1}, {"prompt-tokens"}, set()),
    ({SUCCESSES: -1}, {"requests", "finish-reasons"}, {"prompt-tokens"}),
    ({SUCCESSES: 3}, {"requests", "finish-reasons"}, {"prompt-tokens"}),
    # A success too few, hidden by a token more; one more than requests that can be one, hidden by ends.
    (
        {SUCCESSES: -1, "vllm:time_to_first_token_seconds_count": 1},
        {"requests", "finish-reasons"},
        {"prompt-tokens", "ttft-overhead"},
    ),
    (
        {SUCCESSES: 3, "vllm:e2e_request_latency_seconds_count": 3},
        {"requests", "finish-reasons"},
        {"prompt-tokens", "e2e-overhead"},
    ),
    ({"vllm:request_success_total{finished_reason=stop}": -1, SUCCESSES: 1}, {"finish-reasons"}, set()),
]


@pytest.mark.parametrize(("by", "broken", "untold"), DOCTORED, ids=lambda one: str(one)[:60])
def test_beyond_the_bounds_a_law_is_broken(by: dict[str, float], broken: set[str], untold: set[str]) -> None:
    verdicts = judged(leavers(), server(**by))
    assert in_state(verdicts, State.VIOLATED) == broken
    assert in_state(verdicts, State.INCONCLUSIVE) == untold


def test_a_leaver_whose_answer_was_generated_whole_is_a_success_that_no_client_saw() -> None:
    """The engine was faster than the client's leaving: three ends, and the tokens of the third at most."""
    finished = {SUCCESSES: 1.0, "vllm:e2e_request_latency_seconds_count": 1.0}
    for grown, state in [(0, State.MET), (3, State.MET), (4, State.VIOLATED)]:
        verdicts = judged(leavers(), server(**finished, **{"vllm:generation_tokens_total": grown}))
        assert verdicts["requests"].state is State.MET
        assert verdicts["finish-reasons"].state is State.MET
        assert verdicts["generation-tokens"].state is state
    assert verdicts["e2e-overhead"].state is State.INCONCLUSIVE
    assert verdicts["prompt-tokens"].state is State.INCONCLUSIVE
    assert "nothing bounds the tokens of 2 clients" in verdicts["prompt-tokens"].reason


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.TRUNCATED, Outcome.FAILED])
def test_whatever_is_neither_answered_nor_refused_is_open(outcome: Outcome) -> None:
    records = [left(1, chunks=2, outcome=outcome), left(2, chunks=0, outcome=outcome)]
    assert in_state(judged(leavers(*records), server()), State.MET) == set(LAWS)


def test_one_that_never_got_a_connection_was_never_sent() -> None:
    never = left(2, chunks=0, outcome=Outcome.FAILED, sent_ns=None)
    verdict = judged(leavers(left(1, chunks=2), never), server())["requests"]
    assert verdict.state is State.MET
    assert verdict.expected.endswith("with the refused and the aborted 5")


@pytest.mark.parametrize(
    ("told", "seen"),
    [({}, 2), ({"chunk_tokens": (1, 4)}, 5), ({"completion_tokens": 6}, 6)],
    ids=["chunks", "tokens of chunks", "usage so far"],
)
def test_what_a_leaver_saw_is_the_most_that_it_was_told(told: dict[str, Any], seen: int) -> None:
    verdict = judged(leavers(left(1, chunks=2, **told), left(2, chunks=0), asked=9), server())
    assert verdict["generation-tokens"].expected.startswith(f"{6 + seen} to {6 + 2 * 9} tokens")


@pytest.mark.parametrize(
    ("workload", "most"),
    [
        ({"output_tokens": 64}, 64),
        ({"output_tokens": {"uniform": [3, 96], "kind": "uniform"}}, 96),
        ({"output_tokens": {"uniform": (3, 96), "kind": "uniform"}}, 96),
        ({"output_tokens": {"lognormal": 1, "median": 8, "sigma": 1.0, "max": 40, "min": 1}}, 40),
        ({"output_tokens": {"empirical": [7, [90, 2.0], [12, 1.0]], "kind": "empirical"}}, 90),
        ({"output_tokens": 5, "mix": [{"output_tokens": None}, {"output_tokens": 30}]}, 30),
        ({"output_tokens": 50, "mix": [{"output_tokens": 10}, {"output_tokens": 30}]}, 30),
        ({"output_tokens": None, "mix": [{"output_tokens": None}, {"output_tokens": 30}]}, None),
        ({"output_tokens": None, "path": "trace.jsonl"}, None),
        ({}, None),
    ],
)
def test_the_longest_answer_that_a_workload_asks_for(workload: dict[str, Any], most: int | None) -> None:
    run = replace(leavers(), description={"workload": workload})
    expected = judged(run, server())["generation-tokens"].expected
    assert expected.startswith("at least 8 tokens" if most is None else f"8 to {6 + 2 * most} tokens")


@pytest.mark.parametrize(
    ("asked", "grown", "expected"),
    [
        ((5, 4, 7), 14, "14 to 21 tokens"),
        ((5, 4, 7), 13, "14 to 21 tokens"),
        ((5, 4, 7), 22, "14 to 21 tokens"),
        ((6, 4, 7), 15, "at least 11 tokens"),  # an answer's prompt was not as long as asked: who knows
        ((5, None, 7), 15, "at least 11 tokens"),
    ],
)
def test_prompts_of_clients_that_left_are_as_long_as_asked_where_all_others_were(
    asked: tuple[int | None, ...], grown: int, expected: str
) -> None:
    """Prompts of 5 asked of those that were answered, 4 of the one that saw a token, 7 of the other."""
    by_index = {0: 5, 3: asked[0], 1: asked[1], 2: asked[2]}
    records = tuple(replace(one, prompt_tokens_asked=by_index.get(one.index)) for one in leavers().records)
    told = server(**{"vllm:prompt_tokens_total": grown - 15})
    verdict = judged(replace(leavers(), records=records), told)["prompt-tokens"]
    assert verdict.expected == f"{expected}, 10 of them of finished requests"
    kept = grown in range(14, 22) if "to" in expected.split() else True
    assert verdict.state is (State.MET if kept else State.VIOLATED)


def test_without_any_bound_from_above_the_law_is_open() -> None:
    """A server that tells no tokens of finished requests, and a load that does not say what it asked for."""
    told = [
        {name: value for name, value in one.items() if "request_generation_tokens" not in name}
        for one in (dict(books.BEFORE), books.after())
    ]
    for series, more in LEFT.items():
        if series in told[1]:
            told[1][series] += more
    verdict = judged(leavers(asked=None), books.record(*told))["generation-tokens"]
    assert verdict.state is State.INCONCLUSIVE
    assert judged(leavers(asked=3), books.record(*told))["generation-tokens"].state is State.MET

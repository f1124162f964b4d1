"""A load whose books balance, written by hand: what clients saw, and what each series of the server says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from instruments.records import LoadRun, Outcome, Phase
from instruments.slo.conservation import LAWS, LawVerdict, check_laws
from instruments.slo.verdict import State
from instruments.telemetry import Snapshot
from instruments.telemetry.record import ServerRecord
from instruments.telemetry.snapshot import labels_of
from tests.instruments.shapes import load_run
from tests.instruments.shapes import record as request

Series = str  # `name` or `name{label=value}`
SERVER: Mapping[str, str] = {"engine": "0", "model_name": "tiny"}

# A server that had answered 10 requests before, and of this load four: three that ended by length, one by a
# stop; 5 tokens of prompt and 3 of answer each. TTFT 0.98 s each, E2E 2.97 s each.
BEFORE: Mapping[Series, float] = {
    "vllm:num_requests_running": 0,
    "vllm:num_requests_waiting": 0,
    "vllm:kv_cache_usage_perc": 0.125,
    "vllm:request_success_total{finished_reason=stop}": 2,
    "vllm:request_success_total{finished_reason=length}": 8,
    "vllm:request_success_total{finished_reason=abort}": 0,
    "vllm:prompt_tokens_total": 50,
    "vllm:generation_tokens_total": 30,
    "vllm:request_prompt_tokens_sum": 50,
    "vllm:request_generation_tokens_sum": 30,
    "vllm:request_params_n_sum": 10,
    "vllm:request_params_n_count": 10,
    "vllm:time_to_first_token_seconds_bucket{le=0.75}": 10,
    "vllm:time_to_first_token_seconds_bucket{le=2.5}": 10,
    "vllm:time_to_first_token_seconds_bucket{le=+Inf}": 10,
    "vllm:time_to_first_token_seconds_count": 10,
    "vllm:time_to_first_token_seconds_sum": 1.0,
    "vllm:e2e_request_latency_seconds_bucket{le=2.5}": 10,
    "vllm:e2e_request_latency_seconds_bucket{le=5.0}": 10,
    "vllm:e2e_request_latency_seconds_bucket{le=+Inf}": 10,
    "vllm:e2e_request_latency_seconds_count": 10,
    "vllm:e2e_request_latency_seconds_sum": 2.0,
}
GROWN: Mapping[Series, float] = {
    "vllm:request_success_total{finished_reason=stop}": 1,
    "vllm:request_success_total{finished_reason=length}": 3,
    "vllm:prompt_tokens_total": 20,
    "vllm:generation_tokens_total": 12,
    "vllm:request_prompt_tokens_sum": 20,
    "vllm:request_generation_tokens_sum": 12,
    "vllm:request_params_n_sum": 4,
    "vllm:request_params_n_count": 4,
    "vllm:time_to_first_token_seconds_bucket{le=2.5}": 4,
    "vllm:time_to_first_token_seconds_bucket{le=+Inf}": 4,
    "vllm:time_to_first_token_seconds_count": 4,
    "vllm:time_to_first_token_seconds_sum": 4 * 0.98,
    "vllm:e2e_request_latency_seconds_bucket{le=5.0}": 4,
    "vllm:e2e_request_latency_seconds_bucket{le=+Inf}": 4,
    "vllm:e2e_request_latency_seconds_count": 4,
    "vllm:e2e_request_latency_seconds_sum": 4 * 2.97,
}


def after(**changed: float) -> dict[Series, float]:
    """The books after the load."""
    return {name: value + GROWN.get(name, 0) for name, value in BEFORE.items()} | changed


def snapshot(books: Mapping[Series, float], families: Mapping[str, str] | None = None) -> Snapshot:
    """Books as a scrape would bring them."""
    samples = {}
    for series, value in books.items():
        name, _, rest = series.partition("{")
        label, _, text = rest.removesuffix("}").partition("=")
        samples[name, labels_of({**SERVER, **({label: text} if label else {})})] = float(value)
    return Snapshot(samples, families or {})


def record(
    before: Mapping[Series, float] = BEFORE, later: Mapping[Series, float] | None = None, **more: Any
) -> ServerRecord:
    """What a source told around a load."""
    asked: dict[str, Any] = {"every_s": None, "clock_error_s": None, "series": {}} | more
    return ServerRecord(
        source="a scrape",
        before=snapshot(before),
        after=snapshot(after() if later is None else later),
        **asked,
    )


def doctored(**by: float) -> ServerRecord:
    """A record in which series went differently: `series=how much more after the load`."""
    books = after()
    for series, more in by.items():
        assert series in books, f"no series {series}"
        books[series] += more
    return record(later=books)


def clients(**changed: Any) -> LoadRun:
    """Four answers of 3 tokens to prompts of 5, TTFT 1 s and E2E 3 s each; one refused, one over a limit."""
    answered = [request(index) for index in range(4)]
    answered[0] = replace(answered[0], phase=Phase.WARMUP)  # which the server counts like any other
    answered[3] = replace(answered[3], finish_reason="tool_calls")  # a stop to the engine
    refused = [request(4, Outcome.REFUSED), request(5, Outcome.RATE_LIMITED)]
    unsent = replace(request(6, Outcome.NOT_SENT), sent_ns=None)
    return replace(load_run([*answered, *refused, unsent]), **changed)


def judged(
    run: LoadRun | None = None, server: ServerRecord | None = None, **asked: Any
) -> dict[str, LawVerdict]:
    asked = {"exclusive": True} | asked
    verdicts = check_laws(clients() if run is None else run, server or record(), **asked)
    assert [one.law for one in verdicts] == list(LAWS)
    return {one.law: one for one in verdicts}


def in_state(verdicts: dict[str, LawVerdict], state: State) -> set[str]:
    return {law for law, one in verdicts.items() if one.state is state}

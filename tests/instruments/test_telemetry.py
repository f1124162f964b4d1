"""The server's own numbers: what a scrape holds, and how much a counter grew."""

from __future__ import annotations

import pytest

from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot, increase
from instruments.telemetry.exposition import parse_exposition
from instruments.telemetry.vllm import metric_name

SCRAPE = """\
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="tiny"} 640.0
vllm:generation_tokens_total{engine="1",model_name="tiny"} 60.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.25"} 9.0
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 10.0
vllm:time_to_first_token_seconds_sum 1.5
vllm:time_to_first_token_seconds_count 10.0
# TYPE gateway_rate_limited_total counter
"""


def counter(**by_engine: float) -> Snapshot:
    """A snapshot of one counter, a series for each engine."""
    return Snapshot(
        {("tokens_total", frozenset({("engine", name)})): value for name, value in by_engine.items()}
    )


def test_a_total_is_the_sum_over_the_series_that_carry_the_labels() -> None:
    snapshot = parse_exposition(SCRAPE)
    assert snapshot.total("vllm:generation_tokens_total") == 700.0
    assert snapshot.total("vllm:generation_tokens_total", engine="1") == 60.0
    assert snapshot.total("vllm:time_to_first_token_seconds_bucket", le="0.25") == 9.0


def test_what_is_absent_has_no_total_and_not_one_of_zero() -> None:
    snapshot = parse_exposition(SCRAPE)
    assert snapshot.total("vllm:nothing_total") is None
    assert snapshot.total("vllm:generation_tokens_total", engine="7") is None


def test_families_are_named_as_queries_name_them_even_without_a_series() -> None:
    assert parse_exposition(SCRAPE).families == {
        "vllm:generation_tokens_total": "counter",
        "vllm:num_requests_running": "gauge",
        "vllm:time_to_first_token_seconds": "histogram",
        "gateway_rate_limited_total": "counter",
    }


@pytest.mark.parametrize("text", ["vllm:a{b 1\n", "vllm:a not-a-number\n"])
def test_what_is_not_in_the_format_is_a_telemetry_error(text: str) -> None:
    with pytest.raises(TelemetryError, match="text format"):
        parse_exposition(text)


def test_a_counter_grows_by_the_sum_of_its_series() -> None:
    assert increase(counter(a=10, b=5), counter(a=25, b=5), "tokens_total") == 15


def test_a_counter_that_went_down_was_reset_and_counts_from_zero() -> None:
    assert increase(counter(a=100), counter(a=7), "tokens_total") == 7


def test_a_series_that_was_not_there_before_started_at_zero() -> None:
    assert increase(counter(a=10), counter(a=10, b=4), "tokens_total") == 4


def test_a_counter_that_is_absent_afterwards_grew_by_nobody_knows_what() -> None:
    assert increase(counter(a=10), Snapshot({}), "tokens_total") is None
    assert increase(counter(a=10), counter(a=11), "tokens_total", engine="b") is None


def test_the_newest_name_of_a_metric_goes_before_the_old_one() -> None:
    def exposing(*names: str) -> Snapshot:
        return Snapshot({(name, frozenset()): 0.5 for name in names})

    new, old = "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"
    assert metric_name(exposing(old, new), "kv_cache_usage") == new
    assert metric_name(exposing(old), "kv_cache_usage") == old
    assert metric_name(exposing("vllm:else"), "kv_cache_usage") is None
    # vLLM 0.6 had no inter-token latency under that name.
    itl = "vllm:time_per_output_token_seconds"
    assert metric_name(Snapshot({}, {itl: "histogram"}), "itl") == itl

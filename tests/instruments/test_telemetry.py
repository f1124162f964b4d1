"""The server's own numbers: what a scrape holds, and how much a counter grew."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot, growth, increase
from instruments.telemetry.exposition import parse_exposition, parse_some

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


def test_growth_tells_how_many_series_began_anew_and_which_are_gone() -> None:
    steady = growth(counter(a=10, b=5), counter(a=25, b=5, c=1), "tokens_total")
    assert (steady.value, steady.resets, steady.vanished, steady.exact) == (16, 0, (), True)
    replaced = growth(counter(a=100, b=5), counter(a=7, c=3), "tokens_total")
    assert (replaced.value, replaced.resets, replaced.exact) == (10, 1, False)
    assert replaced.vanished == (frozenset({("engine", "b")}),)
    gone = growth(counter(a=10), Snapshot({}), "tokens_total")
    assert (gone.value, gone.vanished, gone.exact) == (None, (frozenset({("engine", "a")}),), False)
    assert growth(Snapshot({}), Snapshot({}), "tokens_total").exact is False


@pytest.mark.parametrize(("before", "after"), [(math.nan, 3.0), (3.0, math.nan)])
def test_a_counter_that_is_not_a_number_at_one_end_is_left_out_and_told(before: float, after: float) -> None:
    grown = growth(counter(a=before, b=1), counter(a=after, b=5), "tokens_total")
    assert (grown.value, grown.vanished) == (4, (frozenset({("engine", "a")}),))
    assert increase(counter(a=before), counter(a=after), "tokens_total") is None
    assert counter(a=math.nan, b=4).total("tokens_total") == 4
    assert counter(a=math.nan).total("tokens_total") is None


@pytest.mark.parametrize(
    ("birth", "labels"),
    [
        ("tokens_created", frozenset({("engine", "a")})),
        ("process_start_time_seconds", frozenset()),
    ],
)
def test_a_reset_that_has_passed_its_old_value_is_known_by_a_later_birth(
    birth: str, labels: frozenset[tuple[str, str]]
) -> None:
    def born(at_unix_s: float, value: float) -> Snapshot:
        return Snapshot({**counter(a=value).samples, (birth, labels): at_unix_s})

    assert growth(born(1000, 50), born(1000, 80), "tokens_total") == growth(
        counter(a=50), counter(a=80), "tokens_total"
    )
    reset = growth(born(1000, 50), born(1010, 80), "tokens_total")
    assert (reset.value, reset.resets) == (80, 1)


def test_the_birth_of_another_replica_is_not_this_ones() -> None:
    def two(other_born: float) -> Snapshot:
        samples = {("tokens_total", frozenset({("instance", name)})): 9.0 for name in ("one", "other")}
        births = {("process_start_time_seconds", frozenset({("instance", "one")})): 1000.0}
        births[("process_start_time_seconds", frozenset({("instance", "other")}))] = other_born
        return Snapshot({**samples, **births})

    grown = growth(two(1000), two(2000), "tokens_total")
    assert (grown.value, grown.resets) == (9, 1)


def test_a_bound_is_one_however_it_is_spelled() -> None:
    texts = [f'a_bucket{{le="{spelled}"}} 3\n' for spelled in ("1", "1.0", "1e0")]
    assert len({frozenset(parse_exposition(text).samples) for text in texts}) == 1
    assert parse_exposition(texts[0]).total("a_bucket", le="1.0") == 3
    assert parse_exposition('a_bucket{le="+Inf"} 3\n').total("a_bucket", le="+Inf") == 3
    assert parse_exposition('a{le="high"} 3\n').total("a", le="high") == 3


def test_an_empty_exposition_is_a_snapshot_of_nothing() -> None:
    assert parse_exposition("") == Snapshot({}, {})


@given(text=st.text(st.sampled_from('ab:_{}"=,.#\\ \n01eTYPEHLcounter+InfNa\t')))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    with suppress(TelemetryError):
        assert isinstance(parse_exposition(text), Snapshot)


def test_some_names_are_read_as_if_all_had_been() -> None:
    wanted = {"vllm:num_requests_running", "vllm:generation_tokens_total", "vllm:absent"}
    every = parse_exposition(SCRAPE).samples
    some = parse_some(SCRAPE + 'vllm:num_requests_running_since{engine="0"} 1.0\n', wanted).samples
    assert some == {key: value for key, value in every.items() if key[0] in wanted}
    assert len(some) == 3

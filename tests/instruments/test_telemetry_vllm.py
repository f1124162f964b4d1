"""vLLM's names by version: one name of each, the newest, and gauges over all engines."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest

from instruments.telemetry import Snapshot
from instruments.telemetry.exposition import parse_exposition
from instruments.telemetry.histograms import between
from instruments.telemetry.vllm import GAUGES, NAMES, TABLE, gauge, metric_name
from tests.instruments.exposing import both, v0, v1

MINOR = re.compile(r"0\.\d+")
OURS = "running waiting kv_cache_usage generation_tokens successes ttft itl".split()


def test_a_server_of_0_6_is_read_by_its_own_names() -> None:
    snapshot = parse_exposition(v0(running=2, waiting=1, tokens=640, kv=0.25))
    assert {ours: metric_name(snapshot, ours) for ours in OURS} == {
        "running": "vllm:num_requests_running",
        "waiting": "vllm:num_requests_waiting",
        "kv_cache_usage": "vllm:gpu_cache_usage_perc",
        "generation_tokens": "vllm:generation_tokens_total",
        "successes": "vllm:request_success_total",
        "ttft": None,
        "itl": "vllm:time_per_output_token_seconds",
    }
    assert [gauge(snapshot, ours) for ours in GAUGES] == [2, 1, 0.25]


def test_a_server_of_0_32_is_read_by_the_new_names_and_summed_over_its_engines() -> None:
    snapshot = parse_exposition(v1(running=2, kv=0.25, tokens=5) + v1(engine=1, running=3, kv=0.75, tokens=7))
    assert metric_name(snapshot, "kv_cache_usage") == "vllm:kv_cache_usage_perc"
    assert metric_name(snapshot, "itl") == "vllm:inter_token_latency_seconds"
    assert snapshot.total("vllm:generation_tokens_total") == 12
    assert [gauge(snapshot, ours) for ours in GAUGES] == [5, 0, 0.75]  # the fullest cache, not their sum


def test_of_two_names_for_the_same_one_is_taken_and_never_their_sum() -> None:
    snapshot = parse_exposition(both())
    assert gauge(snapshot, "kv_cache_usage") == 0.5
    for ours, new, value in (
        ("prefix_cache_queries", "vllm:prefix_cache_queries_total", 40),
        ("prefix_cache_hits", "vllm:prefix_cache_hits_total", 30),
    ):
        assert metric_name(snapshot, ours) == new
        assert snapshot.total(new) == value


def test_a_name_with_samples_goes_before_one_that_is_only_declared() -> None:
    """Prometheus declares what any of its targets has, a newer vLLM beside this one for instance."""
    old, new = "vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"
    mixed = Snapshot({(old, frozenset()): 0.5}, {old: "gauge", new: "gauge"})
    assert metric_name(mixed, "kv_cache_usage") == old
    assert metric_name(Snapshot({}, {old: "gauge", new: "gauge"}), "kv_cache_usage") == new
    assert metric_name(Snapshot({}, {}), "kv_cache_usage") is None


def test_a_histogram_is_known_by_its_series_where_nobody_declares_it() -> None:
    name = "vllm:time_per_output_token_seconds"
    assert metric_name(Snapshot({(f"{name}_bucket", frozenset()): 1.0}), "itl") == name


def test_the_labels_of_v0_are_enough_for_a_histogram() -> None:
    before, after = Snapshot({}), parse_exposition(v0())
    found = between(before, after, NAMES["itl"][1])
    assert found is not None
    assert (found.bounds, found.cumulative, found.count) == ((0.01, 0.025), (4, 6), 7)


def test_a_gauge_that_is_not_a_number_or_absent_is_not_0() -> None:
    assert gauge(parse_exposition(v1(kv="NaN")), "kv_cache_usage") is None
    assert gauge(Snapshot({}), "running") is None
    half = parse_exposition(v1(kv="NaN") + v1(engine=1, kv=0.5))
    assert gauge(half, "kv_cache_usage") == 0.5
    assert not math.isnan(gauge(half, "kv_cache_usage") or math.nan)


@pytest.mark.parametrize("ours", TABLE)
def test_the_names_of_a_metric_cover_its_versions_newest_first_without_a_gap(ours: str) -> None:
    def minor(version: str) -> int:
        assert MINOR.fullmatch(version), version
        return int(version.partition(".")[2])

    assert TABLE[ours][0].until is None, "the newest is there still"
    for newer, older in pairwise(TABLE[ours]):
        assert older.until is not None
        assert minor(older.since) < minor(newer.since) <= minor(older.until) + 1
    assert NAMES[ours] == tuple(one.name for one in TABLE[ours])
    assert len(set(NAMES[ours])) == len(NAMES[ours])

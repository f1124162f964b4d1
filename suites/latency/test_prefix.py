"""Is a beginning that was read before read faster, and do our own loads not fake speed by that?

Workloads prefix-reuse (prompts with and without a common beginning, in turn) and prefix-distinct; the prompts
of the objectives of TTFT, not run again. Bounds prefix-hit-share, prefix-distinct-share, prefix-ttft-times.
Needs the engine's own numbers, and a stack for itself alone. Costs ten seconds on two cores.
"""

from __future__ import annotations

from typing import Any

import pytest

from instruments.slo.bounded import Bounded, ratios
from instruments.statistics.indicators import ttft_s
from instruments.telemetry.vllm import metric_name

pytestmark = [pytest.mark.ttft, pytest.mark.claim("nobody")]


@pytest.fixture
def caching(stack):
    """Skips where the engine is one that reads nothing, and so has no cache of it."""
    if stack.simulated:
        pytest.skip("the simulator reads no prompts: it has no prefix cache")


def cached_share(measured: Any) -> float | None:
    """How much of the prompts' tokens came from the prefix cache; None where none was looked up."""
    hits, queries = (
        measured.grown(metric_name(measured.after, name) or name)
        for name in ("prefix_cache_hits", "prefix_cache_queries")
    )
    return hits / queries if hits is not None and queries else None


@pytest.mark.needs("engine_metrics", "exclusive")
def test_a_shared_beginning_is_read_once(caching, measure, bound):
    """Where every second prompt begins alike, the cache gives what those share"""
    share = cached_share(measure("prefix-reuse"))
    assert share is not None, "the engine counted no look-up in its prefix cache"
    assert share >= bound("prefix-hit-share"), f"{share:.1%} of the prompts' tokens came from the cache"


def test_a_cached_beginning_brings_the_first_token_sooner(caching, measure, bound):
    """The first token comes sooner when the beginning of the prompt is cached, pair by pair"""
    records = measure("prefix-reuse").summary.records
    found = Bounded.median(
        "TTFT with a cached beginning over that without",
        ratios(records, ttft_s, "shared", "distinct"),
        "times",
    )
    found.require_at_most(bound("prefix-ttft-times"))


@pytest.mark.needs("engine_metrics", "exclusive")
@pytest.mark.parametrize("workload", ["prefix-distinct", "ttft-64", "ttft-256", "cadence"])
def test_prompts_of_ours_share_nothing(measure, bound, workload):
    """Where prompts are meant to share nothing, hardly a token comes from the cache: no load fakes speed"""
    share = cached_share(measure(workload))
    assert share is not None, "the engine counted no look-up in its prefix cache"
    assert share <= bound("prefix-distinct-share"), f"{share:.1%} of the prompts' tokens came from the cache"

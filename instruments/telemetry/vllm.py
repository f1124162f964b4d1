"""vLLM's metric names by version, 0.6 to 0.33, under names of ours.

Sources: vLLM's `engine/metrics.py` (V0), `v1/metrics/loggers.py`, and its pull requests 14136 and 15458
(deprecated in 0.8), 18354 and 29330 (KV cache and prefix cache lose their `gpu_`), 24110 and 32661 (time
per output token becomes inter-token latency), 55812 (admission). A metric that is deprecated in one
minor version is hidden in the next and gone in the one after; hidden ones can be asked for. In V0 the
labels were `model_name` alone; V1 adds `engine`, so a name is summed over what else its series carry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from instruments.telemetry.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Metric:
    """One name of vLLM's and the minor versions that expose it."""

    name: str  # as queries say it: a counter with `_total`, a histogram without its endings
    since: str = "0.6"  # or earlier: the table begins there
    until: str | None = None  # the last that has it, shown or hidden; None: 0.33 still does


TABLE: Mapping[str, tuple[Metric, ...]] = {  # the newest name first
    "running": (Metric("vllm:num_requests_running"),),
    "waiting": (Metric("vllm:num_requests_waiting"),),
    "kv_cache_usage": (
        Metric("vllm:kv_cache_usage_perc", since="0.9"),  # a share of 1, in spite of its name
        Metric("vllm:gpu_cache_usage_perc", until="0.12"),
    ),
    "prompt_tokens": (Metric("vllm:prompt_tokens_total"),),
    "generation_tokens": (Metric("vllm:generation_tokens_total"),),
    "successes": (Metric("vllm:request_success_total"),),
    "preemptions": (Metric("vllm:num_preemptions_total"),),
    "prefix_cache_queries": (
        Metric("vllm:prefix_cache_queries_total", since="0.9"),
        Metric("vllm:gpu_prefix_cache_queries_total", since="0.8", until="0.12"),
    ),
    "prefix_cache_hits": (
        Metric("vllm:prefix_cache_hits_total", since="0.9"),
        Metric("vllm:gpu_prefix_cache_hits_total", since="0.8", until="0.12"),
    ),
    "admission_rejections": (Metric("vllm:admission_rejections_total", since="0.32"),),
    "ttft": (Metric("vllm:time_to_first_token_seconds"),),
    "itl": (
        Metric("vllm:inter_token_latency_seconds", since="0.11"),
        Metric("vllm:time_per_output_token_seconds", until="0.14"),  # a gap between tokens also then
    ),
    "tpot": (Metric("vllm:request_time_per_output_token_seconds", since="0.11"),),
    "e2e": (Metric("vllm:e2e_request_latency_seconds"),),
    "queue_time": (
        Metric("vllm:request_queue_time_seconds", since="0.8"),
        Metric("vllm:time_in_queue_requests", until="0.9"),
    ),
    "prefill_time": (Metric("vllm:request_prefill_time_seconds", since="0.8"),),
    "decode_time": (Metric("vllm:request_decode_time_seconds", since="0.8"),),
    "inference_time": (Metric("vllm:request_inference_time_seconds", since="0.8"),),
}
NAMES: Mapping[str, tuple[str, ...]] = {ours: tuple(one.name for one in TABLE[ours]) for ours in TABLE}
GAUGES = ("running", "waiting", "kv_cache_usage")
FULLEST = ("kv_cache_usage",)  # a share of each engine's own cache: the fullest counts, not the sum
HISTOGRAM = ("_bucket", "_count", "_sum")


def metric_name(snapshot: Snapshot, ours: str) -> str | None:
    """The one name under which this server exposes a metric; None when it has none of the known ones.

    Of two names the newer is taken, never both: they count the same. A name that has samples goes before
    one that is only declared, as Prometheus declares what any of its targets exposes.
    """
    sampled = {name for name, _ in snapshot.samples}
    held = (name for name in NAMES[ours] if sampled & {name, *(f"{name}{end}" for end in HISTOGRAM)})
    declared = (name for name in NAMES[ours] if name in snapshot.families)
    return next(held, next(declared, None))


def gauge(snapshot: Snapshot, ours: str) -> float | None:
    """A gauge over all engines: requests added up, the fullest cache; None when nobody says a number."""
    name = metric_name(snapshot, ours)
    return over_engines(ours, list(snapshot.series(name).values())) if name else None


def over_engines(ours: str, values: list[float]) -> float | None:
    """One value from those of several engines, NaN left out; None when none is left."""
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return None
    return max(numbers) if ours in FULLEST else sum(numbers)

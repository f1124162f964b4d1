"""vLLM's metric names by version, under names of ours.

The newest comes first. Renames: `gpu_cache_usage_perc` (until 0.12) is `kv_cache_usage_perc` since
0.9; `time_per_output_token_seconds` (until 0.14) is `inter_token_latency_seconds` since 0.11.
"""

from __future__ import annotations

from collections.abc import Mapping

from instruments.telemetry import Snapshot

NAMES: Mapping[str, tuple[str, ...]] = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_cache_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    "prompt_tokens": ("vllm:prompt_tokens_total",),
    "generation_tokens": ("vllm:generation_tokens_total",),
    "successes": ("vllm:request_success_total",),
    "preemptions": ("vllm:num_preemptions_total",),
    "ttft": ("vllm:time_to_first_token_seconds",),
    "itl": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    "e2e": ("vllm:e2e_request_latency_seconds",),
}


def metric_name(snapshot: Snapshot, ours: str) -> str | None:
    """The name under which this server exposes a metric; None when it has none of the known ones."""
    exposed = {name for name, _ in snapshot.samples} | set(snapshot.families)
    return next((name for name in NAMES[ours] if name in exposed), None)

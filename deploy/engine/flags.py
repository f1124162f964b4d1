"""From settings to the flags of `vllm serve` and to its environment."""

from __future__ import annotations

import json
from collections.abc import Iterator

from deploy.engine.buckets import with_limits
from deploy.engine.configuration import Settings

QUIET_ENDPOINTS = "/health,/metrics,/ping"  # asked every few seconds by probes and Prometheus


def args(settings: Settings) -> list[str]:
    """What follows `vllm serve`: the model, then its flags. A container's `args:` where that is its entry."""
    return [settings.model.source, *_flags(settings)]


def environment(settings: Settings) -> dict[str, str]:
    """Variables for the engine. No secret is among them: VLLM_API_KEY comes from whoever starts it."""
    return {
        "VLLM_LOG_STATS_INTERVAL": f"{settings.log.statistics_every_s:g}",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # Twice as many series otherwise, of which nobody asks.
        "PROMETHEUS_DISABLE_CREATED_SERIES": "True",
        **({"HF_HUB_OFFLINE": "1"} if settings.model.is_folder else {}),
        **settings.environment,
    }


def _flags(settings: Settings) -> Iterator[str]:
    model, memory, queue = settings.model, settings.memory, settings.queue
    yield from _given("--revision", model.revision)
    yield from ("--served-model-name", model.served_name, "--dtype", model.dtype)
    yield from _given("--quantization", model.quantization)
    yield from _given("--load-format", None if model.load_format == "auto" else model.load_format)
    yield from _given("--max-model-len", model.max_model_len)
    yield from ("--tensor-parallel-size", str(settings.tensor_parallel))
    yield from _given("--gpu-memory-utilization", memory.gpu_utilization)
    yield from _given("--kv-cache-memory-bytes", memory.kv_cache_bytes)
    yield from ("--kv-cache-dtype", memory.kv_cache_dtype)
    yield "--enable-prefix-caching" if memory.prefix_caching else "--no-enable-prefix-caching"
    yield from ("--max-num-seqs", str(settings.batch.max_num_seqs))
    yield from ("--max-num-batched-tokens", str(settings.batch.max_num_batched_tokens))
    yield from _given("--max-num-queued-reqs", queue.max_num_queued_reqs)
    yield from _given("--max-num-queued-tokens", queue.max_num_queued_tokens)
    yield from ("--host", settings.listen.host, "--port", str(settings.listen.port))
    yield from ("--shutdown-timeout", str(settings.shutdown_timeout_s))
    bounds = with_limits(settings.slo_limits_s)
    yield from _given("--custom-histogram-buckets", json.dumps(bounds) if bounds else None)
    yield from _switches(settings)
    yield from settings.extra_arguments


def _switches(settings: Settings) -> Iterator[str]:
    if settings.request_id_headers:
        yield "--enable-request-id-headers"
    if not settings.interactive_docs:
        yield "--disable-fastapi-docs"
    yield from ("--log-level", settings.log.level)
    if settings.log.requests:
        yield "--enable-log-requests"
    if settings.log.access:
        yield from ("--disable-access-log-for-endpoints", QUIET_ENDPOINTS)
    else:
        yield "--disable-uvicorn-access-log"


def _given(flag: str, value: object) -> Iterator[str]:
    if value is not None:
        yield from (flag, str(value))

"""Tokens and KV cache: how much the engine reads and writes, how full it is, what it has to begin again."""

from __future__ import annotations

from deploy.monitoring.panel import ENGINE, WINDOW, Panel, Query, quantiles, rate

OUTPUT = Panel(
    "Output tokens per second",
    "Tokens generated, all requests together.",
    "tokens/s = Σ rate(vllm:generation_tokens_total) by model",
    "short",
    [Query(rate("vllm:generation_tokens_total", "model_name", ENGINE), "{{model_name}}")],
)
QUEUE = Panel(
    "Running and waiting",
    "Requests in the engine's batch, and those that wait for a place in it.",
    "Σ vllm:num_requests_running; Σ vllm:num_requests_waiting; alerts at 20 and 50 waiting",
    "short",
    [
        Query(f"sum(vllm:num_requests_running{{{ENGINE}}})", "running"),
        Query(f"sum(vllm:num_requests_waiting{{{ENGINE}}})", "waiting"),
    ],
)
KV = Panel(
    "KV cache in use",
    "A ratio from 0 to 1, whatever the metric's name says; of several engines the fullest.",
    "max vllm:kv_cache_usage_perc (before vLLM 0.9 gpu_cache_usage_perc); alerts at 85 % and 95 %",
    "percentunit",
    [Query(f"max by (model_name) (engine:kv_cache_usage:ratio{{{ENGINE}}})", "{{model_name}}")],
    top=1,
)
HITS, ASKED = "engine:prefix_cache_hits_total", "engine:prefix_cache_queries_total"
PANELS = [
    OUTPUT,
    Panel(
        "Prompt tokens per second",
        "Tokens of prompts that were processed.",
        "tokens/s = Σ rate(vllm:prompt_tokens_total) by model",
        "short",
        [Query(rate("vllm:prompt_tokens_total", "model_name", ENGINE), "{{model_name}}")],
    ),
    Panel(
        "Output tokens per second and request",
        "The pace that one of the running requests sees, on average.",
        "Σ rate(vllm:generation_tokens_total) / Σ mean of vllm:num_requests_running over the same time",
        "short",
        [
            Query(
                f"{rate('vllm:generation_tokens_total', labels=ENGINE)}"
                f" / (sum(avg_over_time(vllm:num_requests_running{{{ENGINE}}}[{WINDOW}])) > 0)",
                "pace",
            )
        ],
    ),
    QUEUE,
    KV,
    Panel(
        "Preemptions",
        "Requests whose KV cache was taken away and is computed again: the cache is too small for the load.",
        "Σ rate(vllm:num_preemptions_total)",
        "reqps",
        [Query(rate("vllm:num_preemptions_total", "model_name", ENGINE), "{{model_name}}")],
    ),
    Panel(
        "Prefix cache hits",
        "The share of prompt tokens whose KV cache was there already.",
        "Σ rate(prefix_cache_hits_total) / Σ rate(prefix_cache_queries_total)",
        "percentunit",
        [
            Query(
                f"{rate(HITS, labels=ENGINE)} / ({rate(ASKED, labels=ENGINE)} > 0)",
                "hits",
            )
        ],
        top=1,
    ),
    Panel(
        "Length of prompts",
        "Tokens of a prompt, of answers that have ended.",
        "quantiles of vllm:request_prompt_tokens",
        "short",
        quantiles("vllm:request_prompt_tokens"),
    ),
    Panel(
        "Length of answers",
        "Tokens of an answer, of those that have ended.",
        "quantiles of vllm:request_generation_tokens",
        "short",
        quantiles("vllm:request_generation_tokens"),
    ),
    Panel(
        "Tokens by the gateway",
        "What clients were told in `usage`. It falls behind the engine's count where answers are broken off.",
        "Σ rate(gateway_tokens_generated_total); Σ rate(gateway_tokens_prompted_total)",
        "short",
        [
            Query(rate("gateway_tokens_generated_total", "model"), "generated {{model}}"),
            Query(rate("gateway_tokens_prompted_total", "model"), "prompted {{model}}"),
        ],
    ),
    Panel(
        "Turned away by the engine",
        "503 by --max-num-queued-reqs and --max-num-queued-tokens, where the engine has such a bound.",
        "Σ rate(vllm:admission_rejections_total) by reason",
        "reqps",
        [Query(rate("vllm:admission_rejections_total", "reason"), "{{reason}}")],
        empty="Empty before vLLM 0.32.",
    ),
    Panel(
        "Engine's memory",
        "Resident memory of the server's process, not of the GPU.",
        "process_resident_memory_bytes of the engine's job",
        "bytes",
        [Query('process_resident_memory_bytes{job=~"(vllm-)?engine", instance=~"$replica"}', "{{instance}}")],
    ),
]

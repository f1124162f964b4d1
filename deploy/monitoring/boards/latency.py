"""Latency: the engine's own histograms, the gateway's, and what lies between."""

from __future__ import annotations

from deploy.monitoring.panel import Panel, Query, beyond, mean, quantiles

TTFT = Panel(
    "Time to first token",
    "From arrival at the engine to its first token; interpolated within a bucket.",
    "TTFT = first token − arrival; quantiles of vllm:time_to_first_token_seconds",
    "s",
    quantiles("vllm:time_to_first_token_seconds"),
)
TPOT = Panel(
    "Time per output token",
    "The mean of each answer after its first token; below 10 ms there is one bucket.",
    "TPOT = (last token − first token) / (n − 1); quantiles of vllm:request_time_per_output_token_seconds",
    "s",
    quantiles("vllm:request_time_per_output_token_seconds"),
)
ITL = Panel(
    "Inter-token latency",
    "One sample for each output event; below 10 ms there is one bucket.",
    "ITL = token − token before; quantiles of vllm:inter_token_latency_seconds, before vLLM 0.11 of "
    "vllm:time_per_output_token_seconds",
    "s",
    quantiles("engine:inter_token_latency_seconds"),
)
E2E = Panel(
    "End-to-end latency",
    "From arrival at the engine to the last token; the first bucket ends at 0.3 s.",
    "E2E = done − arrival; quantiles of vllm:e2e_request_latency_seconds",
    "s",
    quantiles("vllm:e2e_request_latency_seconds"),
)
GATEWAY_TTFT = "gateway_time_to_first_token_seconds"
PANELS = [
    TTFT,
    TPOT,
    ITL,
    E2E,
    Panel(
        "Waits and prefills beyond 0.3 s",
        "Share of requests that waited in the engine's queue, or were read, for longer than 0.3 s: the first "
        "bucket of both histograms ends there, so a quantile below it would be made up.",
        "1 − rate of the bucket of 0.3 s / rate of all, of vllm:request_queue_time_seconds and "
        "vllm:request_prefill_time_seconds",
        "percentunit",
        [
            Query(beyond("vllm:request_queue_time_seconds", "0.3"), "in the queue"),
            Query(beyond("vllm:request_prefill_time_seconds", "0.3"), "prefill"),
        ],
        top=1,
    ),
    Panel(
        "Decode",
        "From the first token to the last; the first bucket ends at 0.3 s.",
        "quantiles of vllm:request_decode_time_seconds",
        "s",
        quantiles("vllm:request_decode_time_seconds"),
    ),
    Panel(
        "Where the time goes",
        "Mean of each stage in the engine: what of an answer's time is waiting, reading, writing.",
        "mean = Σ rate(sum) / Σ rate(count), of queue, prefill and decode time",
        "s",
        [
            Query(mean("vllm:request_queue_time_seconds"), "queue"),
            Query(mean("vllm:request_prefill_time_seconds"), "prefill"),
            Query(mean("vllm:request_decode_time_seconds"), "decode"),
        ],
    ),
    Panel(
        "Time to first token at the gateway",
        "From arrival at the gateway to the first chunk with generated text, a tool call or reasoning in it.",
        "quantiles of gateway_time_to_first_token_seconds, all endpoints together",
        "s",
        quantiles(GATEWAY_TTFT, "", ""),
    ),
    Panel(
        "Whole answers at the gateway",
        "From arrival to the last byte, of requests that were sent to a replica.",
        "quantiles of gateway_request_duration_seconds by endpoint",
        "s",
        quantiles("gateway_request_duration_seconds", "", "endpoint"),
    ),
    Panel(
        "Mean time to first token, gateway and engine",
        "What lies between the two lines is the gateway, its queue and the way to the engine.",
        "mean = Σ rate(sum) / Σ rate(count)",
        "s",
        [
            Query(mean(GATEWAY_TTFT, ""), "gateway"),
            Query(mean("vllm:time_to_first_token_seconds"), "engine"),
        ],
    ),
]

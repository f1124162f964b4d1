"""The engine's alerts: each fires here and is silent there, by values worked out by hand."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.alerting import Fires, Story, check

ENGINE = 'model_name="tiny", instance="e:1", engine="0"'
ONE = {"model_name": "tiny", "instance": "e:1"}
KV, OLD_KV = "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"


def series(name: str, labels: str = ENGINE) -> str:
    return f"{name}{{{labels}}}"


KV_CACHE = [
    Story(
        "85 % is well, 86 % is not after two minutes, and 95 % is not more than that",
        {series(KV): "0.85+0x150", series(OLD_KV, 'model_name="old", instance="e:2"'): "0.86+0x150"},
        [
            Fires(
                "KvCacheFilling",
                "120s",
                {"model_name": "old", "instance": "e:2"},
                "86% of the KV cache of old at e:2 is in use",
            )
        ],
        [("KvCacheFilling", "119s"), ("KvCacheNearlyFull", "140s")],
    ),
    Story(
        "of two engines at one address the fuller counts, above 95 % for 30 s",
        {
            series(KV): "0.1+0x60",
            series(KV, 'model_name="tiny", instance="e:1", engine="1"'): "0.96+0x60",
            series(KV, 'model_name="calm", instance="e:1", engine="0"'): "0.95+0x60",
        },
        [Fires("KvCacheNearlyFull", "30s", ONE, "96% of the KV cache of tiny at e:1 is in use")],
        [("KvCacheNearlyFull", "29s"), ("KvCacheFilling", "60s")],
    ),
    Story(
        "a server with both names is counted once, by the new one",
        {series(KV): "0.5+0x60", series(OLD_KV): "0.99+0x60"},
        records=[("engine:kv_cache_usage:ratio", "30s", {series("engine:kv_cache_usage:ratio"): 0.5})],
        silent=[("KvCacheNearlyFull", "60s"), ("KvCacheFilling", "60s")],
    ),
]

QUEUE = [
    Story(
        "twenty may wait, twenty-one may not; they are added up over replicas",
        {
            series("vllm:num_requests_waiting", 'model_name="calm", instance="e:1"'): "10+0x60",
            series("vllm:num_requests_waiting", 'model_name="calm", instance="e:2"'): "10+0x60",
            series("vllm:num_requests_waiting", 'model_name="busy", instance="e:1"'): "10+0x60",
            series("vllm:num_requests_waiting", 'model_name="busy", instance="e:2"'): "11+0x60",
        },
        [Fires("RequestsWaiting", "30s", {"model_name": "busy"}, "21 requests wait for busy")],
        [("RequestsWaiting", "29s"), ("QueueStaysLong", "60s")],
    ),
    Story(
        "a short queue is no alert, however long it gets",
        {series("vllm:num_requests_waiting"): "0+0x10 99+0x28 0+0x40"},
        silent=[("RequestsWaiting", "39s"), ("RequestsWaiting", "60s")],
    ),
    Story(
        "more than fifty for five minutes",
        {
            series("vllm:num_requests_waiting"): "51+0x320",
            series("vllm:num_requests_waiting", 'model_name="calm", instance="e:1"'): "50+0x320",
        },
        [
            Fires(
                "QueueStaysLong",
                "300s",
                {"model_name": "tiny"},
                "51 requests wait for tiny, more than 50 for five minutes",
            )
        ],
        [("QueueStaysLong", "299s")],
    ),
]


def engine(running: int, waiting: int, kv: float, instance: str) -> dict[str, str]:
    labels = f'model_name="tiny", instance="{instance}", engine="0"'
    return {
        series("vllm:num_requests_running", labels): f"{running}+0x60",
        series("vllm:num_requests_waiting", labels): f"{waiting}+0x60",
        series(KV, labels): f"{kv}+0x60",
    }


SATURATED = "tiny at full:1 runs 64 requests, all it may, with others waiting and its KV cache above 85 %"
SATURATION = [
    Story(
        "sixty-four users, more at the door, no memory: and none of the three alone",
        {
            **engine(64, 1, 0.86, "full:1"),
            **engine(63, 1, 0.99, "places:1"),
            **engine(64, 0, 0.99, "nobody-waits:1"),
            **engine(64, 9, 0.85, "memory:1"),
        },
        [Fires("EngineSaturated", "30s", {"model_name": "tiny", "instance": "full:1"}, SATURATED)],
        [("EngineSaturated", "29s")],
    )
]

PREEMPTIONS = [
    Story(
        "one preemption is seen for five minutes, and none is none",
        {
            series("vllm:num_preemptions_total", 'model_name="calm", instance="e:1"'): "7+0x480",
            series("vllm:num_preemptions_total"): "0+0x60 1+0x419",
        },
        [
            Fires(
                "Preemptions",
                "76s",
                ONE,
                "requests of tiny at e:1 lose their KV cache and are computed again",
            )
        ],
        [("Preemptions", "60s"), ("Preemptions", "75s"), ("Preemptions", "362s")],
    )
]


def histogram(name: str, bound: str, labels: str, within: int, of: int) -> dict[str, str]:
    """Each second `of` more events, `within` of them at or below the bound."""
    return {
        series(f"{name}_bucket", f'{labels}, le="{bound}"'): f"0+{within}x700",
        series(f"{name}_bucket", f'{labels}, le="+Inf"'): f"0+{of}x700",
        series(f"{name}_count", labels): f"0+{of}x700",
    }


E2E, TTFT = "vllm:e2e_request_latency_seconds", "vllm:time_to_first_token_seconds"
LATENCY = [
    Story(
        "2 of 100 beyond 60 s is a p99 above it, where that is the last bound too; 1 of 100 is not",
        {
            **histogram(E2E, "60.0", 'model_name="slow", instance="e:1"', 98, 100),
            **histogram(E2E, "60", 'model_name="old", instance="e:2"', 98, 100),
            **histogram(E2E, "60.0", 'model_name="calm", instance="e:3"', 99, 100),
        },
        [
            Fires(
                "SlowRequests",
                "310s",
                {"model_name": name},
                f"p99 of {name} is above 60 s: 2% of requests take longer",
            )
            for name in ("slow", "old")
        ],
        [("SlowRequests", "299s")],
    ),
    Story(
        "6 of 100 first tokens after 10 s is a p95 above it, 5 of 100 is not, and no traffic is nothing",
        {
            **histogram(TTFT, "10.0", 'model_name="slow", instance="e:1"', 94, 100),
            **histogram(TTFT, "10.0", 'model_name="calm", instance="e:2"', 95, 100),
            **histogram(TTFT, "10.0", 'model_name="idle", instance="e:3"', 0, 0),
        },
        [
            Fires(
                "SlowFirstTokens",
                "310s",
                {"model_name": "slow"},
                "p95 of TTFT of slow is above 10 s: 6% of first tokens come later",
            )
        ],
        [("SlowFirstTokens", "299s")],
    ),
]

TROUBLE = [
    Story(
        "requests run and no token is made; one that makes one a minute is slow, not stuck",
        {
            series("vllm:num_requests_running"): "3+0x400",
            series("vllm:generation_tokens_total"): "500+0x400",
            series("vllm:num_requests_running", 'model_name="slow", instance="e:2"'): "3+0x400",
            series(
                "vllm:generation_tokens_total", 'model_name="slow", instance="e:2"'
            ): "0x59 1x59 2x59 3x59 4x160",
            series("vllm:num_requests_running", 'model_name="idle", instance="e:3"'): "0+0x400",
            series("vllm:generation_tokens_total", 'model_name="idle", instance="e:3"'): "500+0x400",
        },
        [Fires("EngineStuck", "61s", ONE, "tiny at e:1 runs requests and makes no tokens")],
        [("EngineStuck", "59s")],
    ),
    Story(
        "an answer that ends in an error of the engine; others that end otherwise",
        {
            series("vllm:request_success_total", f'{ENGINE}, finished_reason="error"'): "0+0x60 1+0x419",
            series("vllm:request_success_total", f'{ENGINE}, finished_reason="length"'): "0+9x480",
            series("vllm:request_success_total", 'instance="e:2", finished_reason="abort"'): "0+9x480",
        },
        [Fires("EngineErrors", "76s", ONE, "requests of tiny at e:1 end in an error of the engine")],
        [("EngineErrors", "75s"), ("EngineErrors", "362s")],
    ),
    Story(
        "a request that is turned away is seen for five minutes; old ones are not",
        {
            'vllm:admission_rejections_total{instance="e:1", reason="max_num_queued_reqs"}': "0+0x400 1x300",
            'vllm:admission_rejections_total{instance="e:2", reason="max_num_queued_reqs"}': "5+0x700",
        },
        [
            Fires(
                "EngineRejects",
                "420s",
                {"instance": "e:1", "reason": "max_num_queued_reqs"},
                "the engine e:1 turns requests away (max_num_queued_reqs)",
            )
        ],
        [("EngineRejects", "414s"), ("EngineRejects", "702s")],
    ),
]


def test_the_kv_cache(tmp_path: Path) -> None:
    check(tmp_path, "engine.yml", KV_CACHE)


def test_the_queue(tmp_path: Path) -> None:
    check(tmp_path, "engine.yml", QUEUE + SATURATION)


def test_latencies_and_preemptions(tmp_path: Path) -> None:
    check(tmp_path, "engine.yml", PREEMPTIONS + LATENCY)


def test_hangs_errors_and_rejections(tmp_path: Path) -> None:
    check(tmp_path, "engine.yml", TROUBLE)


STORIES = [*KV_CACHE, *QUEUE, *SATURATION, *PREEMPTIONS, *LATENCY, *TROUBLE]

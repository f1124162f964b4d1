"""Alerts on blindness: targets, metrics, rules, delivery. Each fires here and is silent there, by hand."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.alerting import Fires, Story, check


def up(job: str, instance: str, values: str) -> dict[str, str]:
    return {f'up{{job="{job}", instance="{instance}"}}': values}


TARGETS = [
    Story(
        "an engine and a gateway that are down, in a cluster's words too; back again is well",
        up("engine", "e:1", "1+0x10 0+0x15 1+0x10")
        | up("vllm-engine", "e:2", "1+0x40")
        | up("vllm-gateway", "g:1", "1+0x10 0+0x15 1+0x10"),
        [
            Fires(
                "EngineDown",
                "21s",
                {"job": "engine", "instance": "e:1"},
                "Prometheus cannot scrape the engine e:1",
            ),
            Fires(
                "GatewayDown",
                "21s",
                {"job": "vllm-gateway", "instance": "g:1"},
                "Prometheus cannot scrape the gateway g:1",
            ),
        ],
        [("EngineDown", "20s"), ("EngineDown", "27s"), ("GatewayDown", "20s"), ("GatewayDown", "27s")],
    ),
    Story(
        "the exporter and any other target have a minute",
        up("engine", "e:1", "1+0x90") | up("exporter", "x:1", "0+0x90") | up("nginx", "n:1", "0+0x90"),
        [
            Fires(
                "GpuExporterDown",
                "60s",
                {"job": "exporter", "instance": "x:1"},
                "Prometheus cannot scrape the GPU exporter x:1",
            ),
            Fires(
                "TargetDown",
                "60s",
                {"job": "nginx", "instance": "n:1"},
                "Prometheus cannot scrape nginx at n:1",
            ),
        ],
        [("GpuExporterDown", "59s"), ("TargetDown", "59s"), ("EngineNotFound", "90s")],
    ),
    Story(
        "discovery finds no engine and no gateway: no `up` of 0 is there to tell it",
        up("prometheus", "p:1", "1+0x90"),
        [
            Fires("EngineNotFound", "60s", {}, "Prometheus knows of no engine"),
            Fires("GatewayNotFound", "60s", {}, "Prometheus knows of no gateway"),
        ],
        [("EngineNotFound", "59s"), ("GatewayNotFound", "59s"), ("EngineDown", "90s")],
    ),
    Story(
        "found, they are not missed",
        up("engine", "e:1", "0+0x90") | up("gateway", "g:1", "1+0x90"),
        silent=[("EngineNotFound", "90s"), ("GatewayNotFound", "90s")],
    ),
]

ENGINE = (
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:num_preemptions_total",
)
GATEWAY = ("gateway_active_requests", "gateway_upstream_healthy")


def exposed(names: tuple[str, ...], instance: str, *, but: str | None = None) -> dict[str, str]:
    return {f'{name}{{instance="{instance}"}}': "0+0x90" for name in names if name != but}


def missing(metric: str, job: str, instance: str) -> Fires:
    return Fires(
        "MetricMissing",
        "60s",
        {"job": job, "instance": instance, "metric": metric},
        f"{job} {instance} answers without {metric}: what is made of it is blind",
    )


def vanished(name: str, told: str, job: str, names: tuple[str, ...]) -> Story:
    """A target without one metric, one with all of them, and one that is down, which is said elsewhere."""
    return Story(
        f"{name} has vanished",
        up(job, "t:1", "1+0x90")
        | up(job, "t:2", "1+0x90")
        | up(job, "t:3", "0+0x90")
        | exposed(names, "t:1", but=name)
        | exposed(names, "t:2"),
        [missing(told, job, "t:1")],
        [("MetricMissing", "59s")],
    )


BLIND = [
    *(vanished(name, name.removesuffix("_bucket"), "engine", ENGINE) for name in ENGINE),
    *(vanished(name, name, "gateway", GATEWAY) for name in GATEWAY),
    vanished("gpu_utilization_percent", "gpu_utilization_percent", "exporter", ("gpu_utilization_percent",)),
    Story(
        "older vLLM and other exporters have their own names for it",
        up("engine", "e:1", "1+0x90")
        | up("exporter", "x:1", "1+0x90")
        | up("exporter", "x:2", "1+0x90")
        | exposed(ENGINE, "e:1", but="vllm:kv_cache_usage_perc")
        | exposed(("vllm:gpu_cache_usage_perc",), "e:1")
        | exposed(("DCGM_FI_DEV_GPU_UTIL",), "x:1")
        | exposed(("nvidia_smi_utilization_gpu_ratio",), "x:2"),
        silent=[("MetricMissing", "90s")],
    ),
    Story(
        "rules that fail and alerts that nobody takes",
        {
            'prometheus_rule_evaluation_failures_total{rule_group="a"}': "0+0x30 1+0x400",
            'prometheus_rule_evaluation_failures_total{rule_group="b"}': "3+0x430",
            'prometheus_notifications_errors_total{alertmanager="m:1"}': "0+0x30 1+0x400",
            "prometheus_notifications_dropped_total": "0+0x430",
        },
        [
            Fires("RulesFail", "91s", {"rule_group": "a"}, "Prometheus cannot evaluate the rules a"),
            Fires(
                "AlertsDoNotArrive",
                "91s",
                {},
                "Prometheus cannot hand alerts to Alertmanager, or that one cannot hand them on",
            ),
        ],
        [("RulesFail", "90s"), ("AlertsDoNotArrive", "90s"), ("RulesFail", "332s")],
    ),
    Story(
        "a receiver that Alertmanager cannot reach",
        {'alertmanager_notifications_failed_total{integration="webhook", reason="other"}': "0+0x30 1+0x300"},
        [
            Fires(
                "AlertsDoNotArrive",
                "91s",
                {},
                "Prometheus cannot hand alerts to Alertmanager, or that one cannot hand them on",
            )
        ],
        [("AlertsDoNotArrive", "90s")],
    ),
]


def test_targets(tmp_path: Path) -> None:
    check(tmp_path, "targets.yml", TARGETS)


def test_blindness(tmp_path: Path) -> None:
    check(tmp_path, "targets.yml", BLIND)


STORIES = [*TARGETS, *BLIND]

"""The host's rules on the labels that Prometheus has in a cluster: they fire there, and are silent there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.alerting import Fires, Story, check
from tests.kubernetes.monitors import series, stored, target_labels
from tests.kubernetes.rendering import OVERLAYS

GPUS = "cluster/dcgm-exporter"
ENGINE_PAGE = (
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:num_preemptions_total",
)
GATEWAY_PAGE = ("gateway_active_requests", "gateway_upstream_healthy")

overlays = pytest.mark.parametrize("place", [f"overlays/{name}" for name in OVERLAYS])


def up(place: str, monitor: str, values: str) -> dict[str, str]:
    return {series("up", target_labels(place, monitor)): values}


@overlays
def test_jobs_are_those_that_the_rules_name(place: str) -> None:
    assert target_labels(place, "vllm-engine")["job"] == "engine"
    assert target_labels(place, "vllm-gateway")["job"] == "gateway"
    assert target_labels(GPUS, "dcgm-exporter")["job"] == "exporter"


@overlays
def test_a_target_that_is_down_is_called_by_its_own_alert_and_no_other(place: str, tmp_path: Path) -> None:
    down = {**up(place, "vllm-engine", "0x90"), **up(place, "vllm-gateway", "0x90"),
            **up(GPUS, "dcgm-exporter", "0x90")}  # fmt: skip

    def fires(alert: str, at: str, where: str, monitor: str, what: str) -> Fires:
        labels = target_labels(where, monitor)
        return Fires(alert, at, labels, f"Prometheus cannot scrape the {what} {labels['instance']}")

    story = Story(
        "nothing answers",
        down,
        [
            fires("EngineDown", "20s", place, "vllm-engine", "engine"),
            fires("GatewayDown", "20s", place, "vllm-gateway", "gateway"),
            fires("GpuExporterDown", "80s", GPUS, "dcgm-exporter", "GPU exporter"),
        ],
        [(alert, "80s") for alert in ("TargetDown", "EngineNotFound", "GatewayNotFound", "MetricMissing")],
    )
    check(tmp_path, "targets.yml", [story])


@overlays
def test_nothing_is_missing_where_all_answer(place: str, tmp_path: Path) -> None:
    pages: dict[str, list[tuple[str, dict[str, str]]]] = {
        "vllm-engine": [(name, {"model_name": "m", "engine": "0"}) for name in ENGINE_PAGE],
        "vllm-gateway": [(name, {}) for name in GATEWAY_PAGE],
    }
    samples = {
        series(name, stored(place, monitor, own)): "1x90"
        for monitor, page in pages.items()
        for name, own in page
    }
    gpu = {"gpu": "0", "UUID": "GPU-1", "pod": "vllm-engine-0", "namespace": "vllm", "container": "engine"}
    samples[series("DCGM_FI_DEV_GPU_UTIL", stored(GPUS, "dcgm-exporter", gpu))] = "1x90"
    for where, monitor in ((place, "vllm-engine"), (place, "vllm-gateway"), (GPUS, "dcgm-exporter")):
        samples |= up(where, monitor, "1x90")
    silent = ("MetricMissing", "EngineDown", "EngineNotFound", "GatewayDown", "GatewayNotFound", "TargetDown")
    check(tmp_path, "targets.yml", [Story("all is well", samples, silent=[(one, "85s") for one in silent])])


@overlays
def test_the_kubelets_probes_are_no_clients_requests(place: str, tmp_path: Path) -> None:
    """The operator's own label `endpoint` must not hide the gateway's."""

    def answers(endpoint: str, status: str) -> str:
        own = {"endpoint": endpoint, "status_code": status, "method": "GET", "model": "m", "key": "suite"}
        return series("gateway_requests_total", stored(place, "vllm-gateway", own))

    chat = "/v1/chat/completions"
    starting = Story(
        "an engine starts: all probes say 503, and what clients ask is answered",
        {answers("/ready", "503"): "0+90x90", answers(chat, "200"): "0+10x90"},
        silent=[("GatewayErrors", "90s")],
    )
    failing = Story(
        "half of what clients ask fails, among many probes that do not",
        {
            answers("/health", "200"): "0+980x90",
            answers(chat, "200"): "0+10x90",
            answers(chat, "502"): "0+10x90",
        },
        [Fires("GatewayErrors", "40s", {}, "50% of requests end in a 5xx")],
    )
    check(tmp_path, "gateway.yml", [starting, failing])


def test_readings_of_dcgm_become_the_names_that_panels_draw(tmp_path: Path) -> None:
    own = {"gpu": "0", "UUID": "GPU-1", "pod": "vllm-engine-0", "namespace": "vllm", "container": "engine"}
    labels = stored(GPUS, "dcgm-exporter", own)
    assert labels["pod"] == "vllm-engine-0", "whose GPU it is, not whose exporter"
    recorded = series("gpu:utilization:ratio", {"gpu": "0", "uuid": "GPU-1", "instance": labels["instance"]})
    story = Story(
        "a GPU that is half busy",
        {series("DCGM_FI_DEV_GPU_UTIL", labels): "50x90"},
        records=[("gpu:utilization:ratio", "60s", {recorded: 0.5})],
    )
    check(tmp_path, "gpu.yml", [story])


class TestTheLabels:
    """By hand, from the operator's and Prometheus' references."""

    place = "overlays/minikube"

    def test_of_a_target(self) -> None:
        assert target_labels(self.place, "vllm-engine") == {
            "instance": "10.0.0.1:8000", "namespace": "vllm", "service": "vllm-engine",
            "pod": "vllm-engine-0", "container": "engine", "endpoint": "http", "job": "engine",
        }  # fmt: skip

    def test_a_samples_own_label_steps_aside_or_is_kept(self) -> None:
        assert stored(self.place, "vllm-engine", {"endpoint": "/x"})["exported_endpoint"] == "/x"
        assert stored(GPUS, "dcgm-exporter", {"pod": "mine"})["pod"] == "mine"

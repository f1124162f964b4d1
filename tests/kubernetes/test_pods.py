"""The Pods: how they start, stop, roll, are confined, and that nothing secret stands in them."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.vllm_parser import rejections
from tests.kubernetes.rendering import (
    KUBERNETES,
    OVERLAYS,
    PLACES,
    ROOT,
    Workload,
    named,
    of_kind,
    rendered,
    workloads,
)

ENVIRONMENTS = yaml.safe_load((KUBERNETES / "environments.yaml").read_text())
ON_NODES = ("cluster/device-plugin", "cluster/dcgm-exporter")
DEFAULT_PERIOD_S, DEFAULT_FAILURES = 10, 3
PINNED = re.compile(r"^[a-z0-9./-]+:[A-Za-z0-9_.-]*\d[A-Za-z0-9_.-]*(@sha256:[0-9a-f]{64})?$")
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)

gpu_places = pytest.mark.parametrize("place", [f"overlays/{name}" for name in OVERLAYS])
all_places = pytest.mark.parametrize("place", PLACES)


def pods(place: str, name: str) -> Workload:
    return Workload(named(place, "Deployment", name))


def container(place: str, name: str) -> dict[str, Any]:
    (found,) = pods(place, name).pod["containers"]
    return dict(found)


def budget_s(probe: dict[str, Any]) -> float:
    """How long a start may take before the kubelet gives it up."""
    period_s = probe.get("periodSeconds", DEFAULT_PERIOD_S)
    return float(
        probe.get("initialDelaySeconds", 0) + period_s * probe.get("failureThreshold", DEFAULT_FAILURES)
    )


def pre_stop_s(one: dict[str, Any]) -> int:
    return int(one["lifecycle"]["preStop"]["sleep"]["seconds"])


@gpu_places
class TestStopping:
    def test_the_engine_has_time_to_drain(self, place: str) -> None:
        engine = container(place, "vllm-engine")
        timeout_s = int(engine["args"][engine["args"].index("--shutdown-timeout") + 1])
        assert timeout_s > 0
        grace_s = pods(place, "vllm-engine").pod["terminationGracePeriodSeconds"]
        assert grace_s >= pre_stop_s(engine) + timeout_s + 10

    def test_the_gateway_has_time_to_drain(self, place: str) -> None:
        grace_s = pods(place, "vllm-gateway").pod["terminationGracePeriodSeconds"]
        drain_s = settings_of_gateway(place)["drain_timeout_s"]
        assert grace_s >= pre_stop_s(container(place, "vllm-gateway")) + drain_s + 10

    def test_a_drain_of_a_node_is_not_blocked(self, place: str) -> None:
        for budget in of_kind(place, "PodDisruptionBudget"):
            spec = budget["spec"]
            assert spec["maxUnavailable"] == 1
            assert "minAvailable" not in spec
            assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
            chosen = [
                one
                for one in workloads(place)
                if spec["selector"]["matchLabels"].items() <= one.labels.items()
            ]
            assert len(chosen) == 1


@gpu_places
class TestStarting:
    def test_the_engine_may_take_one_and_a_half_times_its_declared_cold_start(self, place: str) -> None:
        cold_start_s = ENVIRONMENTS[Path(place).name]["cold_start_s"]
        allowed_s = budget_s(container(place, "vllm-engine")["startupProbe"])
        assert allowed_s >= 1.5 * cold_start_s
        assert allowed_s < 3600, "an engine that never comes is reported some time"
        assert pods(place, "vllm-engine").document["spec"]["progressDeadlineSeconds"] > allowed_s

    def test_no_probe_asks_for_a_path_behind_the_key(self, place: str) -> None:
        for one in workloads(place):
            for part in one.pod["containers"]:
                for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                    asked = part[kind]["httpGet"]
                    assert asked["path"] in ("/health", "/ready")
                    assert "httpHeaders" not in asked
                    assert one.port(asked["port"]) > 0

    def test_liveness_never_depends_on_another_program(self, place: str) -> None:
        for one in workloads(place):
            assert one.pod["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/health"

    def test_only_the_gateway_that_finds_an_engine_is_ready(self, place: str) -> None:
        assert container(place, "vllm-gateway")["readinessProbe"]["httpGet"]["path"] == "/ready"


@gpu_places
class TestRolling:
    def test_a_new_engine_never_waits_for_the_old_ones_gpu(self, place: str) -> None:
        strategy = pods(place, "vllm-engine").document["spec"]["strategy"]
        assert strategy["type"] == "Recreate" or strategy["rollingUpdate"]["maxSurge"] == 0

    def test_gateways_are_never_fewer_than_asked_for(self, place: str) -> None:
        strategy = pods(place, "vllm-gateway").document["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        (scaler,) = of_kind(place, "HorizontalPodAutoscaler")
        assert scaler["spec"]["minReplicas"] >= 2

    def test_who_scales_is_the_only_one_that_counts_replicas(self, place: str) -> None:
        scalers = [*of_kind(place, "HorizontalPodAutoscaler"), *of_kind(place, "ScaledObject")]
        for target in (one["spec"]["scaleTargetRef"] for one in scalers):
            assert "replicas" not in named(place, target["kind"], target["name"])["spec"]

    def test_an_engine_that_is_scaled_has_weights_of_its_own(self, place: str) -> None:
        if of_kind(place, "ScaledObject"):
            (volume,) = [one for one in pods(place, "vllm-engine").pod["volumes"] if one["name"] == "weights"]
            assert set(volume) == {"name", "ephemeral"}
            assert not of_kind(place, "PersistentVolumeClaim")


@gpu_places
class TestConfinement:
    def test_pods_keep_to_the_restricted_standard(self, place: str) -> None:
        for one in workloads(place):
            assert one.pod["automountServiceAccountToken"] is False
            assert one.pod["enableServiceLinks"] is False
            assert not {"hostNetwork", "hostPID", "hostIPC"} & set(one.pod)
            security = one.pod["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["runAsUser"] > 0
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            for part in one.containers:
                assert part["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert "memory" in part["resources"]["limits"]
                assert not any("hostPort" in port for port in part.get("ports", []))
            kinds = {kind for volume in one.pod["volumes"] for kind in volume if kind != "name"}
            assert kinds <= {"configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "secret"}

    def test_the_namespace_refuses_pods_of_any_other_kind(self, place: str) -> None:
        labels = named(place, "Namespace", "vllm")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    def test_nobody_has_a_right_in_the_cluster(self, place: str) -> None:
        assert not [one["kind"] for one in rendered(place) if "Role" in one["kind"]]

    def test_what_the_engine_writes_lies_on_volumes(self, place: str) -> None:
        engine = container(place, "vllm-engine")
        writable = [one["mountPath"] for one in engine["volumeMounts"] if not one.get("readOnly")]
        assert sorted(writable) == ["/cache", "/dev/shm", "/tmp"]
        folders = [one["value"] for one in engine["env"] if one.get("value", "").startswith("/")]
        assert len(folders) >= 8
        assert all(folder.startswith(("/cache", "/tmp")) for folder in folders)

    def test_shared_memory_is_bounded_and_within_the_limit(self, place: str) -> None:
        (shm,) = [one for one in pods(place, "vllm-engine").pod["volumes"] if one["name"] == "shm"]
        assert shm["emptyDir"]["medium"] == "Memory"
        size, limit = (
            int(text.removesuffix("Gi"))
            for text in (
                shm["emptyDir"]["sizeLimit"],
                container(place, "vllm-engine")["resources"]["limits"]["memory"],
            )
        )
        assert 0 < size < limit

    def test_the_engine_has_a_gpu_and_tolerates_the_taint_of_its_nodes(self, place: str) -> None:
        engine = container(place, "vllm-engine")
        parallel = engine["args"][engine["args"].index("--tensor-parallel-size") + 1]
        assert engine["resources"]["limits"]["nvidia.com/gpu"] == parallel
        assert "nvidia.com/gpu" not in engine["resources"]["requests"]
        (toleration,) = pods(place, "vllm-engine").pod["tolerations"]
        assert toleration == {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


@all_places
class TestSecrets:
    def test_no_secret_is_rendered(self, place: str) -> None:
        assert of_kind(place, "Secret") == []

    def test_variables_that_sound_secret_come_from_secrets(self, place: str) -> None:
        for one in workloads(place):
            for variable in (each for part in one.containers for each in part.get("env", [])):
                if SECRET_NAME.search(variable["name"]):
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}, variable["name"]

    def test_no_argument_carries_a_secret(self, place: str) -> None:
        words = [word for one in workloads(place) for part in one.containers for word in part.get("args", [])]
        assert not [word for word in words if re.match(r"--(api-k|hf-t|token|password)", word)]

    def test_images_are_pinned(self, place: str) -> None:
        for one in workloads(place):
            for part in one.containers:
                assert PINNED.match(part["image"]), part["image"]


def test_no_account_id_and_no_password_stands_in_any_file() -> None:
    for file in KUBERNETES.rglob("*"):
        if file.suffix in (".yaml", ".md", ".sh", ".csv"):
            text = file.read_text()
            assert not re.search(r"\b\d{12}\b", text), file
            assert not re.search(r"(?i)adminPassword|prom-operator\b.*password|password: *[\"']?\w", text), (
                file
            )


@all_places
def test_nothing_is_reachable_from_outside_but_by_the_way_in(place: str) -> None:
    for service in of_kind(place, "Service"):
        assert service["spec"]["type"] == "ClusterIP"
        assert "externalIPs" not in service["spec"]
    backends = [str(one["spec"]) for one in rendered(place) if one["kind"] in ("Ingress", "HTTPRoute")]
    assert not [text for text in backends if "vllm-engine" in text]


@pytest.mark.parametrize("place", ON_NODES)
def test_what_runs_on_gpu_nodes_tolerates_their_taint_and_no_token(place: str) -> None:
    (one,) = workloads(place)
    assert one.document["kind"] == "DaemonSet"
    assert one.pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in one.pod["tolerations"]
    assert one.pod["automountServiceAccountToken"] is False


def settings_of_gateway(place: str) -> dict[str, Any]:
    """The gateway's settings as its Pods mount them."""
    (volume,) = [one for one in pods(place, "vllm-gateway").pod["volumes"] if one["name"] == "settings"]
    return dict(
        yaml.safe_load(named(place, "ConfigMap", volume["configMap"]["name"])["data"]["gateway.yaml"])
    )


@gpu_places
def test_the_gateway_takes_its_settings_and_listens_where_its_service_sends(
    place: str, tmp_path: Path
) -> None:
    settings = settings_of_gateway(place)
    gateway = pods(place, "vllm-gateway")
    assert settings["listen"]["port"] == gateway.port("http")
    assert settings["metrics"]["port"] == gateway.port("metrics")
    assert settings["trusted_proxies"] == ENVIRONMENTS[Path(place).name]["trusted_proxies"]
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    reading = "import pathlib, sys; from deploy.gateway.settings import load; load(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", reading, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_pinned_vllm_takes_the_engines_arguments() -> None:
    served = (*OVERLAYS, "local-vllm")
    argvs = {place: container(f"overlays/{place}", "vllm-engine")["args"] for place in served}
    said = dict(zip(argvs, rejections(list(argvs.values())), strict=True))
    assert said == dict.fromkeys(served)


def test_the_budget_of_a_probe_is_worked_out_by_hand() -> None:
    assert budget_s({"periodSeconds": 10, "failureThreshold": 90}) == 900
    assert budget_s({"initialDelaySeconds": 5}) == 35
    assert math.ceil(900 * 1.5 / 10) == 135

"""What an object names is there: Services and their Pods, monitors, ports, claims, Secrets."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.rendering import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    SHARED,
    Document,
    named,
    of_kind,
    workloads,
)

JOBS = {"engine", "gateway", "exporter"}  # what rules and dashboards call them

places = pytest.mark.parametrize("place", [*(f"overlays/{name}" for name in OVERLAYS), *SHARED])
overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def selected(place: str, kind: str, selector: dict[str, str], namespace: str) -> list[Document]:
    """Objects of a kind and namespace that have these labels."""
    return [
        one
        for one in of_kind(place, kind)
        if one["metadata"]["namespace"] == namespace
        and selector.items() <= one["metadata"].get("labels", {}).items()
    ]


@places
class TestMonitors:
    def test_each_selects_one_service_by_its_labels_and_a_port_of_that_name(self, place: str) -> None:
        for monitor in of_kind(place, "ServiceMonitor"):
            spec, namespace = monitor["spec"], monitor["metadata"]["namespace"]
            (service,) = selected(place, "Service", spec["selector"]["matchLabels"], namespace)
            for endpoint in spec["endpoints"]:
                assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
            assert service["metadata"]["labels"][spec["jobLabel"]] in JOBS

    def test_each_service_has_pods_with_its_ports(self, place: str) -> None:
        for service in of_kind(place, "Service"):
            spec = service["spec"]
            (pods,) = [one for one in workloads(place) if spec["selector"].items() <= one.labels.items()]
            assert pods.namespace == service["metadata"]["namespace"]
            for port in spec["ports"]:
                assert pods.port(port["targetPort"]) == port["port"]
                assert port["protocol"] == "TCP"

    def test_every_program_of_ours_is_scraped(self, place: str) -> None:
        scraped = {one["metadata"]["name"] for one in of_kind(place, "ServiceMonitor")}
        wanted = {"overlays": {"vllm-engine", "vllm-gateway"}, "cluster/dcgm-exporter": {"dcgm-exporter"}}
        assert scraped == wanted.get(place, wanted["overlays"] if place.startswith("overlays") else set())


@places
class TestWhatPodsName:
    def test_settings_claims_and_accounts_are_there(self, place: str) -> None:
        for one in workloads(place):
            if account := one.pod.get("serviceAccountName"):
                assert named(place, "ServiceAccount", account)["automountServiceAccountToken"] is False
            for volume in one.pod.get("volumes", []):
                if "configMap" in volume:
                    named(place, "ConfigMap", volume["configMap"]["name"])
                if claim := volume.get("persistentVolumeClaim"):
                    named(place, "PersistentVolumeClaim", claim["claimName"])

    def test_mounts_have_volumes(self, place: str) -> None:
        for one in workloads(place):
            volumes = {volume["name"] for volume in one.pod["volumes"]}
            mounted = {mount["name"] for part in one.containers for mount in part["volumeMounts"]}
            assert mounted == volumes

    def test_secrets_are_those_that_are_made(self, place: str) -> None:
        script = (KUBERNETES / "secrets.sh").read_text()
        for name, key, optional in secrets_named(place):
            assert optional or (
                f"create secret generic {name} " in script and f"{key}=/dev/stdin" in script
            ), name


def secrets_named(place: str) -> Iterator[tuple[str, str, bool]]:
    """Each Secret that Pods name: its name, the key, whether they start without it."""
    for one in workloads(place):
        for volume in (each for each in one.pod["volumes"] if "secret" in each):
            yield volume["secret"]["secretName"], "keys.yaml", False
        for variable in (each for part in one.containers for each in part.get("env", [])):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield reference["name"], reference["key"], reference.get("optional", False)


def test_what_is_generated_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.kubernetes", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"`python -m deploy.kubernetes` was not run:\n{done.stdout}{done.stderr}"


@overlays
def test_the_cluster_has_the_rules_and_dashboards_of_the_host(overlay: str) -> None:
    place, monitoring = f"overlays/{overlay}", ROOT / "deploy" / "monitoring"
    files = sorted((monitoring / "rules").glob("*.yml"))
    assert {one["metadata"]["name"]: one["spec"] for one in of_kind(place, "PrometheusRule")} == {
        f"vllm-slo-{file.stem}": yaml.safe_load(file.read_text()) for file in files
    }
    boards = [
        one for one in of_kind(place, "ConfigMap") if "grafana_dashboard" in one["metadata"].get("labels", {})
    ]
    held = {name: text for one in boards for name, text in one["data"].items()}
    assert held == {file.name: file.read_text() for file in (monitoring / "dashboards").glob("*.json")}


def test_grafana_looks_for_the_label_that_the_dashboards_have_and_prometheus_for_all_rules() -> None:
    values = yaml.safe_load((KUBERNETES / "values" / "kube-prometheus-stack.yaml").read_text())
    sidecar = values["grafana"]["sidecar"]["dashboards"]
    (label,) = {
        (name, value)
        for one in of_kind("overlays/minikube", "ConfigMap")
        for name, value in one["metadata"].get("labels", {}).items()
        if name.startswith("grafana")
    }
    assert label == (sidecar["label"], sidecar["labelValue"])
    assert values["grafana"]["admin"]["existingSecret"] == "grafana-admin"
    spec = values["prometheus"]["prometheusSpec"]
    assert spec["serviceMonitorSelectorNilUsesHelmValues"] is spec["ruleSelectorNilUsesHelmValues"] is False


@overlays
def test_what_prometheus_cannot_reach_is_not_called_down(overlay: str) -> None:
    """These listen on loopback devices, or belong to the cloud; `TargetDown` would never fall silent."""
    values = yaml.safe_load((KUBERNETES / "values" / f"kube-prometheus-stack-{overlay}.yaml").read_text())
    for part in ("kubeControllerManager", "kubeScheduler", "kubeEtcd", "kubeProxy"):
        assert values[part] == {"enabled": False}, part


def test_the_scaler_asks_the_prometheus_that_the_values_make() -> None:
    values = yaml.safe_load((KUBERNETES / "values" / "kube-prometheus-stack.yaml").read_text())
    (trigger,) = named("overlays/eks", "ScaledObject", "vllm-engine")["spec"]["triggers"]
    assert (
        trigger["metadata"]["serverAddress"]
        == f"http://{values['fullnameOverride']}-prometheus.monitoring.svc:9090"
    )


def test_ecc_counters_are_among_those_of_the_gpu_exporter() -> None:
    (counters,) = of_kind("cluster/dcgm-exporter", "ConfigMap")
    rows = [
        line for line in counters["data"]["counters.csv"].splitlines() if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"DCGM_FI_\w+, (gauge|counter), [^,]+\.", row) for row in rows)
    names = {row.split(",")[0] for row in rows}
    assert {"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL"} <= names
    (daemon,) = workloads("cluster/dcgm-exporter")
    (part,) = daemon.containers
    mounts = {mount["name"]: mount["mountPath"] for mount in part["volumeMounts"]}
    assert part["args"][part["args"].index("-f") + 1] == str(Path(mounts["counters"]) / "counters.csv")

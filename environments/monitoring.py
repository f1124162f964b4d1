"""Prometheus and Alertmanager beside a stack: real binaries, or containers, or neither and said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from environments.binaries import ROOT, find_monitoring
from environments.ports import take_port
from environments.process import Process
from environments.profile import PortProfile
from environments.provider import Component
from environments.readiness import answers, wait_until

RULES = ROOT / "deploy" / "monitoring" / "rules"
READY_BOUND_S = 30.0
# Discovery looks every 5 s, so a target that came up just after a look is seen 5 s later.
TARGETS_BOUND_S = 30.0


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Running monitoring, or none; `note` says what a reader of the report must know."""

    prometheus_url: str | None = None
    alertmanager_url: str | None = None
    components: tuple[Process, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    note: str | None = None


def start_monitoring(folder: Path, logs: Path, targets: Mapping[str, str], ports: PortProfile) -> Monitoring:
    """Start both. `targets` maps a job's name to host:port; they need not be up yet."""
    prometheus = find_monitoring("prometheus")
    alertmanager = find_monitoring("alertmanager", "prometheus-alertmanager")
    if prometheus is None:
        return Monitoring(
            note="no Prometheus on this machine: metrics are scraped directly, no alert is evaluated"
        )
    components: list[Process] = []
    versions = [("prometheus", prometheus.version)]
    alert_port = take_port(ports.alertmanager, "Alertmanager") if alertmanager else None
    port = take_port(ports.prometheus, "Prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    if alertmanager is not None:
        config = _write(folder / "alertmanager.yml", alertmanager_config())
        command: list[str | Path] = [
            alertmanager.path,
            f"--config.file={config}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{alert_port}",
            "--cluster.listen-address=",
        ]
        log, cwd = logs / "alertmanager.log", alertmanager.cwd or folder
        components.append(Process.start("alertmanager", command, log=log, cwd=cwd))
        versions.append(("alertmanager", alertmanager.version))
    config = _write(folder / "prometheus.yml", prometheus_config(targets, alert_port))
    command = [
        prometheus.path,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    components.append(Process.start("prometheus", command, log=logs / "prometheus.log", cwd=folder))
    return Monitoring(
        prometheus_url=f"http://127.0.0.1:{port}",
        alertmanager_url=f"http://127.0.0.1:{alert_port}" if alert_port else None,
        components=tuple(components),
        versions=tuple(versions),
        note=None if alertmanager else "no Alertmanager on this machine: alerts are evaluated, not delivered",
    )


def prometheus_config(targets: Mapping[str, str], alert_port: int | None) -> dict[str, Any]:
    """Everything is scraped and evaluated each second; the job's name is that of the component."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in sorted(RULES.glob("*.yml"))],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    if alert_port is not None:
        managers = [{"static_configs": [{"targets": [f"127.0.0.1:{alert_port}"]}]}]
        config["alerting"] = {"alertmanagers": managers}
    return config


def alertmanager_config() -> dict[str, Any]:
    """Alerts are kept for whoever asks; nobody is notified from a test stack."""
    route = {"receiver": "none", "group_wait": "0s", "group_interval": "1s", "group_by": ["alertname"]}
    return {"route": route, "receivers": [{"name": "none"}]}


def wait_for_monitoring(monitoring: Monitoring, jobs: set[str], client: httpx.Client) -> float:
    """Wait until every job's target is up; the seconds that took."""
    if monitoring.prometheus_url is None:
        return 0.0
    parts: tuple[Component, ...] = monitoring.components
    waited_s = 0.0
    for url in filter(None, (monitoring.prometheus_url, monitoring.alertmanager_url)):
        waited_s += wait_until(
            answers(f"{url}/-/ready", client),
            f"{url}/-/ready answers",
            bound_s=READY_BOUND_S,
            components=parts,
        )

    def targets_up() -> str | None:
        found = client.get(f"{monitoring.prometheus_url}/api/v1/targets", timeout=5.0).json()
        health = {one["labels"]["job"]: one["health"] for one in found["data"]["activeTargets"]}
        down = {job: health.get(job, "not discovered") for job in jobs if health.get(job) != "up"}
        return f"not up: {down}" if down else None

    return waited_s + wait_until(
        targets_up, "Prometheus scrapes all targets", bound_s=TARGETS_BOUND_S, components=parts
    )


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path

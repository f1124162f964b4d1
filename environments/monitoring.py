"""Prometheus and Alertmanager beside a stack: real binaries, or containers, or neither and said so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
import yaml

from environments.binaries import ROOT, find_monitoring
from environments.containers import Container, docker_answers
from environments.ports import take_port
from environments.process import Process
from environments.profile import IMAGES, Profile
from environments.provider import Component
from environments.readiness import answers, wait_until

RULES = ROOT / "deploy" / "monitoring" / "rules"
READY_BOUND_S = 30.0
# Discovery looks every 5 s, so a target that came up just after a look is seen 5 s later.
TARGETS_BOUND_S = 30.0


class Part(Component, Protocol):
    """A component that can be stopped."""

    def stop(self) -> None: ...


# How one of the two programs is started: (arguments, folder that it may write, log) -> the running part.
Start = Callable[[Sequence[str], Path, Path], Part]


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Running monitoring, or none; `note` says what a reader of the report must know."""

    prometheus_url: str | None = None
    alertmanager_url: str | None = None
    components: tuple[Part, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    note: str | None = None


def start_monitoring(profile: Profile, folder: Path, logs: Path, targets: Mapping[str, str]) -> Monitoring:
    """Start both, as binaries or containers. `targets` maps a job to host:port; none need be up yet."""
    mode, ports = profile.monitoring, profile.ports
    if mode == "none":
        return Monitoring(note="the profile asks for no Prometheus: metrics are scraped directly")
    found = {name: _program(name, profile) for name in IMAGES}
    if found["prometheus"] is None:
        return Monitoring(note=f"no Prometheus ({mode}): metrics are scraped directly, no alert is evaluated")
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    alert_port = take_port(ports.alertmanager, "Alertmanager") if found["alertmanager"] else None
    with ExitStack() as undo:  # when Prometheus cannot be started, Alertmanager does not stay
        if found["alertmanager"]:
            config = _write(folder / "alertmanager.yml", alertmanager_config())
            arguments = [f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}"]
            arguments += [f"--web.listen-address=127.0.0.1:{alert_port}", "--cluster.listen-address="]
            parts.append(found["alertmanager"][0](arguments, folder, logs / "alertmanager.log"))
            undo.callback(parts[-1].stop)
        port = take_port(ports.prometheus, "Prometheus")
        for rules in RULES.glob("*.yml"):  # copied: a container sees this folder and no other
            shutil.copy(rules, folder)
        config = _write(folder / "prometheus.yml", prometheus_config(targets, alert_port))
        arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}"]
        arguments += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        parts.append(found["prometheus"][0](arguments, folder, logs / "prometheus.log"))
        undo.pop_all()
    return Monitoring(
        prometheus_url=f"http://127.0.0.1:{port}",
        alertmanager_url=f"http://127.0.0.1:{alert_port}" if alert_port else None,
        components=tuple(parts),
        versions=tuple((name, program[1]) for name, program in found.items() if program),
        note=None if found["alertmanager"] else "no Alertmanager: alerts are evaluated, not delivered",
    )


def _program(name: Literal["prometheus", "alertmanager"], profile: Profile) -> tuple[Start, str] | None:
    """How to start a program, and its version; a binary goes before a container."""
    mode = profile.monitoring
    binary = find_monitoring(name, f"prometheus-{name}") if mode in ("binaries", "auto") else None
    if binary is not None:
        return (
            lambda arguments, folder, log: Process.start(
                name, [binary.path, *arguments], log=log, cwd=binary.cwd or folder
            ),
            binary.version,
        )
    if mode in ("containers", "auto") and docker_answers():
        image = profile.images[name]
        return lambda arguments, folder, log: Container(name, image, arguments, folder, log), image
    return None


def prometheus_config(targets: Mapping[str, str], alert_port: int | None) -> dict[str, Any]:
    """Everything is scraped and evaluated each second; the job's name is that of the component."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"},
        "rule_files": sorted(path.name for path in RULES.glob("*.yml")),
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
        try:
            found = client.get(f"{monitoring.prometheus_url}/api/v1/targets", timeout=5.0).json()
        except (httpx.HTTPError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        health = {one["labels"]["job"]: one["health"] for one in found["data"]["activeTargets"]}
        down = {job: health.get(job, "not discovered") for job in jobs if health.get(job) != "up"}
        return f"not up: {down}" if down else None

    return waited_s + wait_until(
        targets_up, "Prometheus scrapes all targets", bound_s=TARGETS_BOUND_S, components=parts
    )


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path

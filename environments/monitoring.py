"""Prometheus and Alertmanager beside a stack: real binaries, or containers, or neither and said so."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
import yaml

from environments.binaries import ROOT, find_monitoring
from environments.containers import Container, docker_answers
from environments.pacing import paced_rules
from environments.ports import take_port
from environments.process import Process
from environments.profile import IMAGES, Profile
from environments.provider import Component
from environments.readiness import answers, wait_until
from instruments.errors import ConfigurationError

OURS = ROOT / "deploy" / "monitoring"
RULES = OURS / "rules"
READY_BOUND_S = 30.0
# Discovery looks every 5 s, so a target that came up just after a look is seen 5 s later.
TARGETS_BOUND_S = 30.0


# Job -> host:port, of several replicas all of them.
Targets = Mapping[str, str | Sequence[str]]


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
    receiver_url: str | None = None  # GET: the alerts that were delivered, as a list of JSON objects
    components: tuple[Part, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    note: str | None = None


def start_monitoring(profile: Profile, folder: Path, logs: Path, targets: Targets) -> Monitoring:
    """Start both, as binaries or containers. `targets` maps a job to host:port; none need be up yet."""
    mode, ports = profile.monitoring, profile.ports
    if mode == "none":
        return Monitoring(note="the profile asks for no Prometheus: metrics are scraped directly")
    found = {name: _program(name, profile) for name in IMAGES}
    if found["prometheus"] is None:
        return Monitoring(note=f"no Prometheus ({mode}): metrics are scraped directly, no alert is evaluated")
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    port = take_port(ports.prometheus, "Prometheus")
    alert_port = receiver_url = None
    with ExitStack() as undo:  # when one cannot be started, those before it do not stay
        if found["alertmanager"]:
            receiver_port = take_port(ports.alert_receiver, "alert receiver")
            parts.append(_start_receiver(receiver_port, logs))
            undo.callback(parts[-1].stop)
            receiver_url = f"http://127.0.0.1:{receiver_port}/alerts"
            alert_port = take_port(ports.alertmanager, "Alertmanager")
            config = _write(folder / "alertmanager.yml", alertmanager_config(receiver_url))
            arguments = [f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}"]
            arguments += [f"--web.listen-address=127.0.0.1:{alert_port}", "--cluster.listen-address="]
            parts.append(found["alertmanager"][0](arguments, folder, logs / "alertmanager.log"))
            undo.callback(parts[-1].stop)
        rules = RULES if profile.rules is None else ROOT / profile.rules
        _copy_rules(rules, folder, profile.pace)
        own = {"prometheus": port, "alertmanager": alert_port}
        jobs: Targets = {**targets, **{job: f"127.0.0.1:{at}" for job, at in own.items() if at}}
        stub = profile.exporter.kind == "stub"
        config = _write(
            folder / "prometheus.yml", prometheus_config(jobs, alert_port, stub=stub, rules=rules)
        )
        arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}"]
        arguments += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        # What was lost on its way to Alertmanager is said again: a minute of the rules' own time later.
        arguments.append(f"--rules.alert.resend-delay={max(1, math.ceil(60 / profile.pace))}s")
        parts.append(found["prometheus"][0](arguments, folder, logs / "prometheus.log"))
        undo.pop_all()
    return Monitoring(
        prometheus_url=f"http://127.0.0.1:{port}",
        alertmanager_url=f"http://127.0.0.1:{alert_port}" if alert_port else None,
        receiver_url=receiver_url,
        components=tuple(parts),
        versions=tuple((name, program[1]) for name, program in found.items() if program),
        note=None if found["alertmanager"] else "no Alertmanager: alerts are evaluated, not delivered",
    )


def _copy_rules(rules: Path, folder: Path, pace: float) -> None:
    """Copied: a container sees this folder and no other."""
    for file in rules.glob("*.yml"):
        if pace == 1:
            shutil.copy(file, folder)
        else:
            (folder / file.name).write_text(paced_rules(file.read_text("utf-8"), pace), "utf-8")


def _start_receiver(port: int, logs: Path) -> Process:
    command = [sys.executable, "-m", "deploy.monitoring.receiver", "--port", str(port)]
    command += ["--file", str(logs / "alerts.jsonl")]
    return Process.start("alert_receiver", command, log=logs / "alert_receiver.log", cwd=ROOT)


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


def prometheus_config(
    targets: Targets, alert_port: int | None, *, stub: bool = False, rules: Path = RULES
) -> dict[str, Any]:
    """The jobs of deploy/monitoring/prometheus at our addresses, scraped and evaluated each second.

    With `stub` the exporter's target says that it reads a stub on purpose. ConfigurationError for a job that
    is not among those that rules and panels know.
    """
    config: dict[str, Any] = yaml.safe_load((OURS / "prometheus" / "prometheus.yml").read_text())
    known = {job["job_name"]: job for job in config["scrape_configs"]}
    if unknown := sorted(targets.keys() - known.keys()):
        raise ConfigurationError(
            "a target of a job that no rule knows", expected=", ".join(known), seen=", ".join(unknown)
        )
    for name, job in known.items():
        del job["file_sd_configs"]
        if name in targets:
            at = targets[name]
            job["static_configs"] = [{"targets": [at] if isinstance(at, str) else [*at]}]
    if stub and "exporter" in targets:
        known["exporter"]["static_configs"][0]["labels"] = {"readings": "stub"}
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
    config["rule_files"] = sorted(path.name for path in rules.glob("*.yml"))
    config["scrape_configs"] = [job for name, job in known.items() if name in targets]
    del config["alerting"]
    if alert_port is not None:
        managers = [{"static_configs": [{"targets": [f"127.0.0.1:{alert_port}"]}]}]
        config["alerting"] = {"alertmanagers": managers}
    return config


def alertmanager_config(receiver_url: str) -> dict[str, Any]:
    """The routes and inhibitions of deploy/monitoring/alertmanager, at once and to our receiver alone."""
    config: dict[str, Any] = yaml.safe_load((OURS / "alertmanager" / "alertmanager.yml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    webhook = {"url": receiver_url, "send_resolved": True}
    config["receivers"] = [
        {"name": one["name"], "webhook_configs": [dict(webhook)]} for one in config["receivers"]
    ]
    return config


def wait_for_monitoring(monitoring: Monitoring, jobs: set[str], client: httpx.Client) -> float:
    """Wait until every job's target is up; the seconds that took."""
    if monitoring.prometheus_url is None:
        return 0.0
    parts: tuple[Component, ...] = monitoring.components
    waited_s = 0.0
    for url in filter(None, (monitoring.prometheus_url, monitoring.alertmanager_url)):
        ready = answers(f"{url}/-/ready", client)
        waited_s += wait_until(ready, f"{url}/-/ready answers", bound_s=READY_BOUND_S, components=parts)
    if monitoring.receiver_url is not None:
        taken = answers(monitoring.receiver_url, client)
        waited_s += wait_until(taken, "alerts are taken", bound_s=READY_BOUND_S, components=parts)

    def targets_up() -> str | None:
        try:
            found = client.get(f"{monitoring.prometheus_url}/api/v1/targets", timeout=5.0).json()
        except (httpx.HTTPError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        health = dict.fromkeys(jobs, "not discovered")
        for one in found["data"]["activeTargets"]:  # of several replicas the worst
            if one["health"] != "up" or health.get(one["labels"]["job"]) == "not discovered":
                health[one["labels"]["job"]] = one["health"]
        down = {job: health[job] for job in jobs if health[job] != "up"}
        return f"not up: {down}" if down else None

    return waited_s + wait_until(
        targets_up, "Prometheus scrapes all targets", bound_s=TARGETS_BOUND_S, components=parts
    )


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path

"""A whole stack as child processes on loopback: engine, gateway, Prometheus, Alertmanager."""

from __future__ import annotations

import os
import secrets
import shutil
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import yaml

from environments.binaries import ROOT
from environments.certificates import Certificates, make_certificates
from environments.engine import Engine, start_engine
from environments.fingerprint import machine_fingerprint, profile_fingerprint
from environments.monitoring import Monitoring, start_monitoring, wait_for_monitoring
from environments.ports import take_port
from environments.process import Process
from environments.profile import EngineProfile, Profile
from environments.provider import SIMULATED_NOTE, Say, Secret, Stack, StackNotReady, is_simulated
from environments.readiness import answers, wait_until

KEY_NAMES = ("suite", "second", "limited")
ANONYMOUS_LIMIT = "20/second"
GATEWAY_BOUND_S = 30.0


@dataclass(frozen=True, slots=True)
class _Gateway:
    url: str
    metrics_url: str
    process: Process


@contextmanager
def local_stack(profile: Profile, folder: Path, say: Say) -> Iterator[Stack]:
    """Start all of it, yield it when it is ready, and leave no process behind, whatever happens."""
    assert profile.engine is not None  # noqa: S101 - the profile was checked
    private, logs = folder / "stack", folder / "logs"
    private.mkdir(parents=True, exist_ok=True)
    keys = {name: Secret(f"sk-{name}-{secrets.token_urlsafe(24)}") for name in (*KEY_NAMES, "engine")}
    if profile.engine.kind == "external":
        keys["engine"] = Secret(os.environ.get("ENGINE_API_KEY", ""))
    certificates = make_certificates(private / "tls")
    with ExitStack() as cleanup:
        # Its key, configuration and time series are for this run only; logs and records stay.
        cleanup.callback(shutil.rmtree, private, ignore_errors=True)

        def own(process: Process) -> Process:
            cleanup.callback(process.stop)
            return process

        began = time.monotonic()
        engine = start_engine(profile.engine, profile.ports, keys["engine"], private, logs)
        for process in engine.components:
            own(process)
        gateway = _start_gateway(profile, engine, keys, certificates, private, logs)
        own(gateway.process)
        targets = {"engine": _address(engine.url), "gateway": _address(gateway.metrics_url)}
        monitoring = start_monitoring(profile, private / "monitoring", logs, targets)
        for part in monitoring.components:
            cleanup.callback(part.stop)
        startup_s = _wait(profile.engine, engine, gateway, monitoring, certificates, say, began)
        if profile.engine.kind == "external" and _serves_simulated(gateway, keys["suite"], certificates):
            engine = replace(engine, simulated=True)
        yield _stack(profile, engine, gateway, monitoring, keys, certificates, startup_s)


def _start_gateway(
    profile: Profile,
    engine: Engine,
    keys: dict[str, Secret],
    certificates: Certificates,
    private: Path,
    logs: Path,
) -> _Gateway:
    port = take_port(profile.ports.gateway, "gateway")
    metrics_port = take_port(profile.ports.gateway_metrics, "gateway's metrics")
    limited = profile.gateway
    entries: list[dict[str, Any]] = [
        {"name": name, "key_env": f"GATEWAY_KEY_{name.upper()}"} for name in KEY_NAMES
    ]
    entries[-1]["limit"] = f"{limited.limited_requests} per {limited.limited_window_s} second"
    settings: dict[str, Any] = {
        "listen": {"host": "127.0.0.1", "port": port},
        "metrics": {"host": "127.0.0.1", "port": metrics_port},
        "tls": {"certificate": str(certificates.chain), "private_key": str(certificates.key)},
        "upstream": {"url": engine.url, "api_key_env": "ENGINE_API_KEY"},
        "keys": entries,
        "limits": {"anonymous": ANONYMOUS_LIMIT},
    }
    config = private / "gateway.yaml"
    config.write_text(yaml.safe_dump(_merged(settings, profile.gateway.settings), sort_keys=False))
    environment = {f"GATEWAY_KEY_{name.upper()}": keys[name] for name in KEY_NAMES}
    process = Process.start(
        "gateway",
        [sys.executable, "-m", "deploy.gateway", "--config", config],
        log=logs / "gateway.log",
        cwd=ROOT,
        environment={**environment, "ENGINE_API_KEY": keys["engine"]},
    )
    return _Gateway(f"https://localhost:{port}", f"http://127.0.0.1:{metrics_port}/metrics", process)


def _wait(
    profile: EngineProfile,
    engine: Engine,
    gateway: _Gateway,
    monitoring: Monitoring,
    certificates: Certificates,
    say: Say,
    began: float,
) -> dict[str, float]:
    """Wait for each part in turn; they start side by side. Seconds from the beginning to ready."""
    ready_s: dict[str, float] = {}
    parts = (*engine.components, gateway.process)
    say(f"engine ({profile.kind}) is starting")
    with httpx.Client(trust_env=False) as plain, _client(certificates) as trusting:
        wait_until(
            answers(f"{engine.url}/health", plain),
            f"the engine's {engine.url}/health answers 200",
            bound_s=profile.ready_timeout_s,
            components=parts,
            hint="a longer engine.ready_timeout_s in the profile, or read logs/engine.log of this run",
        )
        ready_s["engine"] = time.monotonic() - began
        say(f"engine ready after {ready_s['engine']:.1f} s")
        wait_until(
            answers(f"{gateway.url}/ready", trusting),
            f"the gateway's {gateway.url}/ready answers 200",
            bound_s=GATEWAY_BOUND_S,
            components=parts,
        )
        ready_s["gateway"] = time.monotonic() - began
        if monitoring.prometheus_url:
            wait_for_monitoring(monitoring, {"engine", "gateway"}, plain)
            ready_s["monitoring"] = time.monotonic() - began
            say(f"gateway and monitoring ready after {ready_s['monitoring']:.1f} s")
    return ready_s


def _stack(
    profile: Profile,
    engine: Engine,
    gateway: _Gateway,
    monitoring: Monitoring,
    keys: dict[str, Secret],
    certificates: Certificates,
    startup_s: dict[str, float],
) -> Stack:
    assert profile.engine is not None  # noqa: S101 - the profile was checked
    missing: dict[str, str] = {}
    if monitoring.prometheus_url is None:
        missing["prometheus"] = monitoring.note or "no Prometheus"
    if monitoring.alertmanager_url is None:
        missing["alertmanager"] = monitoring.note or "no Alertmanager"
    notes = [monitoring.note] if monitoring.note else []
    if engine.simulated:
        notes.append(SIMULATED_NOTE)
    facts = {**machine_fingerprint(), **profile_fingerprint(profile), **engine.fingerprint}
    return Stack(
        environment=profile.name,
        base_url=gateway.url,
        model=profile.engine.model,
        keys=keys,
        ca_bundle=certificates.authority,
        engine_url=engine.url,
        gateway_metrics_url=gateway.metrics_url,
        prometheus_url=monitoring.prometheus_url,
        alertmanager_url=monitoring.alertmanager_url,
        missing=missing,
        components=(*engine.components, gateway.process),
        watchers=monitoring.components,
        fingerprint={**facts, **{f"{name}.version": found for name, found in monitoring.versions}},
        engine="simulator" if engine.simulated else "vllm",
        simulated=engine.simulated,
        max_model_len=profile.engine.max_model_len,
        limited_key=("limited", profile.gateway.limited_requests, profile.gateway.limited_window_s),
        startup_s=startup_s,
        notes=notes,
    )


def _serves_simulated(gateway: _Gateway, key: Secret, certificates: Certificates) -> bool:
    """What an engine that we did not start says it is; one that lists no models is asked for nothing else."""
    with _client(certificates) as client:
        answer = client.get(
            f"{gateway.url}/v1/models", headers={"Authorization": f"Bearer {key.reveal()}"}, timeout=10.0
        )
    if answer.status_code != 200:
        raise StackNotReady(
            "the external engine does not list its models",
            expected="HTTP 200 from /v1/models, with the key in $ENGINE_API_KEY",
            seen=f"HTTP {answer.status_code}: {answer.text[:200]}",
        )
    return is_simulated(answer.json()["data"])


def _client(certificates: Certificates) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(certificates.authority))
    return httpx.Client(verify=context, trust_env=False)


def _address(url: str) -> str:
    return url.partition("//")[2].partition("/")[0]


def _merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The profile's settings over ours, block by block."""
    merged = dict(ours)
    for name, value in theirs.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged

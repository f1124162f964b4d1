"""A whole stack as child processes on loopback: engines, gateway, ingress, exporter, monitoring."""

from __future__ import annotations

import os
import secrets
import shutil
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from environments.certificates import Certificates, make_certificates
from environments.engine import Engine, start_engine
from environments.exporter import STUB_NOTE, Exporter, start_exporter
from environments.fingerprint import machine_fingerprint, profile_fingerprint
from environments.gateway import KEY_NAMES, Gateway, start_gateway
from environments.ingress import start_ingress
from environments.monitoring import start_monitoring
from environments.parts import Parts
from environments.preflight import check_place
from environments.profile import Profile
from environments.provider import SIMULATED_NOTE, Say, Secret, Stack, StackNotReady, is_simulated
from environments.ready import wait_for_all


@contextmanager
def local_stack(profile: Profile, folder: Path, say: Say) -> Iterator[Stack]:
    """Start all of it, yield it when it is ready, and leave no process behind, whatever happens."""
    assert profile.engine is not None  # noqa: S101 - the profile was checked
    check_place(profile)
    private, logs = folder / "stack", folder / "logs"
    private.mkdir(parents=True, exist_ok=True)
    private.chmod(0o700)  # keys of certificates lie in it, and settings
    keys = {name: Secret(f"sk-{name}-{secrets.token_urlsafe(24)}") for name in (*KEY_NAMES, "engine")}
    if profile.engine.kind == "external":
        keys["engine"] = Secret(os.environ.get("ENGINE_API_KEY", ""))
    certificates = make_certificates(private / "tls")
    with ExitStack() as cleanup:
        # Its key, configuration and time series are for this run only; logs and records stay.
        cleanup.callback(shutil.rmtree, private, ignore_errors=True)
        parts, began_s = _start(profile, keys, certificates, private, logs, cleanup)
        context = ssl.create_default_context(cafile=str(certificates.authority))
        startup_s = wait_for_all(profile, parts, context, say, began_s)
        if profile.engine.kind == "external" and _serves_simulated(parts.url, keys["suite"], context):
            parts = replace(parts, engine=replace(parts.engine, simulated=True))
        yield _stack(profile, parts, keys, certificates, startup_s)


def _start(
    profile: Profile,
    keys: dict[str, Secret],
    certificates: Certificates,
    private: Path,
    logs: Path,
    cleanup: ExitStack,
) -> tuple[Parts, float]:
    """Start every part side by side; each is stopped by `cleanup`. With the instant of the beginning."""
    assert profile.engine is not None  # noqa: S101 - the profile was checked
    began_s = time.monotonic()
    engine = start_engine(profile.engine, profile.ports, keys["engine"], private, logs)
    for process in engine.components:
        cleanup.callback(process.stop)
    before = profile.ingress is not None and profile.ingress.kind != "none"
    own_tls = None if before else certificates
    gateway = start_gateway(profile, engine.urls, keys, own_tls, private, logs)
    cleanup.callback(gateway.process.stop)
    ingress = start_ingress(profile, gateway.url, certificates, private, logs)
    if ingress is not None:
        cleanup.callback(ingress.process.stop)
    exporter = start_exporter(profile.exporter, profile.ports, private, logs)
    if exporter is not None:
        cleanup.callback(exporter.process.stop)
    targets = _targets(engine, gateway, exporter)
    monitoring = start_monitoring(profile, private / "monitoring", logs, targets)
    for part in monitoring.components:
        cleanup.callback(part.stop)
    return Parts(engine, gateway, ingress, exporter, monitoring, tuple(targets)), began_s


def _targets(engine: Engine, gateway: Gateway, exporter: Exporter | None) -> dict[str, str | Sequence[str]]:
    """What Prometheus scrapes, by job: host:port, of several engines a list."""
    engines = [_address(url) for url in engine.urls]
    return {
        "engine": engines[0] if len(engines) == 1 else engines,
        "gateway": _address(gateway.metrics_url),
        **({"exporter": _address(exporter.metrics_url)} if exporter else {}),
    }


def _serves_simulated(url: str, key: Secret, context: ssl.SSLContext) -> bool:
    """What an engine that we did not start says it is; one that lists no models is asked for nothing else."""
    with httpx.Client(verify=context, trust_env=False) as client:
        answer = client.get(
            f"{url}/v1/models", headers={"Authorization": f"Bearer {key.reveal()}"}, timeout=10.0
        )
    if answer.status_code != 200:
        raise StackNotReady(
            "the external engine does not list its models",
            expected="HTTP 200 from /v1/models, with the key in $ENGINE_API_KEY",
            seen=f"HTTP {answer.status_code}: {answer.text[:200]}",
        )
    return is_simulated(answer.json()["data"])


def _stack(
    profile: Profile,
    parts: Parts,
    keys: dict[str, Secret],
    certificates: Certificates,
    startup_s: dict[str, float],
) -> Stack:
    assert profile.engine is not None  # noqa: S101 - the profile was checked
    engine, gateway, ingress, monitoring = parts.engine, parts.gateway, parts.ingress, parts.monitoring
    return Stack(
        environment=profile.name,
        base_url=parts.url,
        model=profile.engine.model,
        keys=keys,
        ca_bundle=certificates.authority,
        engine_url=engine.url,
        engine_urls=engine.urls,
        gateway_url=gateway.url,
        gateway_metrics_url=gateway.metrics_url,
        ingress_url=ingress.url if ingress else None,
        ingress_http_url=ingress.http_url if ingress else None,
        exporter_url=parts.exporter.metrics_url if parts.exporter else None,
        prometheus_url=monitoring.prometheus_url,
        alertmanager_url=monitoring.alertmanager_url,
        alert_receiver_url=monitoring.receiver_url,
        scraped=parts.jobs if monitoring.prometheus_url else (),
        limiter_code=profile.ingress.reject_code if ingress and profile.ingress else 429,
        missing=_missing(parts),
        components=parts.serving,
        watchers=parts.watching,
        fingerprint=_facts(profile, parts),
        engine="simulator" if engine.simulated else "vllm",
        simulated=engine.simulated,
        max_model_len=profile.engine.max_model_len,
        limited_key=("limited", profile.gateway.limited_requests, profile.gateway.limited_window_s),
        startup_s=startup_s,
        notes=_notes(parts),
    )


def _missing(parts: Parts) -> dict[str, str]:
    """Capability -> why this stack lacks it."""
    missing: dict[str, str] = {}
    if parts.monitoring.prometheus_url is None:
        missing["prometheus"] = parts.monitoring.note or "no Prometheus"
    if parts.monitoring.alertmanager_url is None:
        missing["alertmanager"] = parts.monitoring.note or "no Alertmanager"
    if parts.ingress is None:
        missing["ingress"] = "nothing stands before the gateway"
    if parts.exporter is None:
        missing["exporter"] = "no GPU exporter"
    if len(parts.engine.urls) > 1:
        missing["engine_metrics"] = (
            f"{len(parts.engine.urls)} engines: the counters of one are not all of them"
        )
    return missing


def _notes(parts: Parts) -> list[str]:
    notes = [parts.monitoring.note] if parts.monitoring.note else []
    if parts.engine.simulated:
        notes.append(SIMULATED_NOTE)
    if parts.exporter and parts.exporter.readings:
        notes.append(STUB_NOTE)
    return notes


def _facts(profile: Profile, parts: Parts) -> dict[str, str]:
    facts = {**machine_fingerprint(), **profile_fingerprint(profile), **parts.engine.fingerprint}
    facts |= parts.gateway.fingerprint
    if parts.ingress:
        facts |= parts.ingress.fingerprint
    return {**facts, **{f"{name}.version": found for name, found in parts.monitoring.versions}}


def _address(url: str) -> str:
    return url.partition("//")[2].partition("/")[0]

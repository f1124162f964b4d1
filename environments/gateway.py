"""The gateway of a local stack: its settings out of the profile, and the process."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT
from environments.certificates import Certificates
from environments.fingerprint import files_fingerprint
from environments.ports import take_port
from environments.process import Process
from environments.profile import Profile
from environments.provider import Secret

KEY_NAMES = ("suite", "second", "limited")
ANONYMOUS_LIMIT = "20/second"
LOOPBACK = "127.0.0.1"
GATEWAY = ROOT / "deploy" / "gateway"
LIBRARIES = ROOT / "requirements.lock"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A started gateway. Behind an ingress `url` is plain HTTP on loopback."""

    url: str
    metrics_url: str
    process: Process
    fingerprint: Mapping[str, str] = field(default_factory=dict)


def start_gateway(
    profile: Profile,
    engine_urls: Sequence[str],
    keys: Mapping[str, Secret],
    certificates: Certificates | None,
    private: Path,
    logs: Path,
) -> Gateway:
    """Start it before engines that need not be up yet, over TLS where there are `certificates`."""
    port = take_port(profile.ports.gateway, "gateway")
    metrics_port = take_port(profile.ports.gateway_metrics, "gateway's metrics")
    ours = _settings(profile, engine_urls, port, metrics_port, certificates)
    config = private / "gateway.yaml"
    config.write_text(yaml.safe_dump(merged(ours, profile.gateway.settings), sort_keys=False))
    environment = {f"GATEWAY_KEY_{name.upper()}": keys[name] for name in KEY_NAMES}
    process = Process.start(
        "gateway",
        [*(profile.gateway.program or (sys.executable, "-m", "deploy.gateway")), "--config", config],
        log=logs / "gateway.log",
        cwd=ROOT,
        environment={**environment, "ENGINE_API_KEY": keys["engine"]},
    )
    url = f"https://localhost:{port}" if certificates else f"http://{LOOPBACK}:{port}"
    # The commit says less: of a tree that is not committed only that it is none.
    facts = {
        "gateway.sha256": files_fingerprint(GATEWAY),
        "gateway.libraries": hashlib.sha256(LIBRARIES.read_bytes()).hexdigest()[:16],
    }
    return Gateway(url, f"http://{LOOPBACK}:{metrics_port}/metrics", process, facts)


def _settings(
    profile: Profile,
    engine_urls: Sequence[str],
    port: int,
    metrics_port: int,
    certificates: Certificates | None,
) -> dict[str, Any]:
    limited = profile.gateway
    entries: list[dict[str, Any]] = [
        {"name": name, "key_env": f"GATEWAY_KEY_{name.upper()}"} for name in KEY_NAMES
    ]
    entries[-1]["limit"] = f"{limited.limited_requests} per {limited.limited_window_s} second"
    engines = {"url": engine_urls[0]} if len(engine_urls) == 1 else {"replicas": [*engine_urls]}
    settings: dict[str, Any] = {
        "listen": {"host": LOOPBACK, "port": port},
        "metrics": {"host": LOOPBACK, "port": metrics_port},
        "upstream": {**engines, "api_key_env": "ENGINE_API_KEY"},
        "keys": entries,
        "limits": {"anonymous": ANONYMOUS_LIMIT},
    }
    if certificates is not None:
        settings["tls"] = {"certificate": str(certificates.chain), "private_key": str(certificates.key)}
    else:  # the ingress says who the client is, and nobody else is believed
        settings["trusted_proxies"] = [f"{LOOPBACK}/32"]
    return settings


def merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The profile's settings over ours, block by block."""
    result = dict(ours)
    for name, value in theirs.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result

"""The ingress of a local stack: NGINX before the gateway, on the configuration that a host installs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT, Binary, find_nginx
from environments.certificates import Certificates
from environments.ports import take_port
from environments.process import Process
from environments.profile import IngressProfile, Profile
from environments.provider import MissingBinary, StackNotReady

RENDER_BOUND_S = 30.0


@dataclass(frozen=True, slots=True)
class Ingress:
    """A started ingress; `access_log` has a line of JSON a request."""

    url: str
    http_url: str
    process: Process
    fingerprint: Mapping[str, str]
    access_log: Path


def start_ingress(
    profile: Profile, gateway_url: str, certificates: Certificates, private: Path, logs: Path
) -> Ingress | None:
    """Start it before a gateway that need not be up yet; None where the profile wants none."""
    asked = profile.ingress
    if asked is None or asked.kind == "none":
        return None
    program = find_nginx()
    if program is None:
        raise MissingBinary(
            "NGINX is not on this machine",
            expected=".cache/nginx as set-up makes it, or nginx on PATH",
            hint="`make setup PARTS=nginx`; or `ingress: {kind: none}` in the profile",
        )
    folder = private / "ingress"
    folder.mkdir(parents=True, exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    https, http = (
        take_port(profile.ports.ingress, "ingress"),
        take_port(profile.ports.ingress_http, "ingress"),
    )
    access_log = logs / "ingress-access.jsonl"
    settings = {
        **_limits(asked),
        **_bounds(profile),
        "server_name": "localhost",
        "listen": [f"127.0.0.1:{https}"],
        "listen_http": [f"127.0.0.1:{http}"],
        "upstreams": [gateway_url.partition("//")[2]],
        "certificate": str(certificates.chain),
        "private_key": str(certificates.key),
        "access_log": str(access_log),
        "error_log": "stderr",
        "folder": str(folder),
        "pid": str(folder / "nginx.pid"),
        "user": "root" if os.geteuid() == 0 else None,  # the run's folder is nobody else's to enter
    }
    config = _rendered(settings, folder, program)
    process = Process.start(
        "ingress",
        [program.path, "-e", "stderr", "-p", folder, "-c", config, "-g", "daemon off;"],
        log=logs / "ingress.log",
        cwd=folder,
        environment=program.environment,
    )
    facts = {"ingress.version": f"nginx {program.version}"}
    return Ingress(f"https://localhost:{https}", f"http://localhost:{http}", process, facts, access_log)


def _limits(asked: IngressProfile) -> dict[str, Any]:
    return {
        "rate": asked.rate,
        "burst": asked.burst,
        "reject_code": asked.reject_code,
        "streams": asked.streams,
        "own_addresses": [*asked.own_addresses],
        "own_rate": asked.own_rate,
        "own_burst": asked.own_burst,
        "own_streams": asked.own_streams,
        "read_timeout_s": asked.read_timeout_s,
    }


def _bounds(profile: Profile) -> dict[str, Any]:
    """What the gateway's own settings say of bodies and routes: the ingress lets just that through."""
    said = profile.gateway.settings
    bounds = said.get("bounds") or {}
    largest = bounds.get("max_body_bytes", said.get("max_body_bytes"))
    return {
        **({"max_body_bytes": largest} if largest else {}),
        "generate": "POST /generate" in said.get("routes", ()),
        "chat_page": bool(said.get("chat_page")),
    }


def _rendered(settings: Mapping[str, Any], folder: Path, program: Binary) -> Path:
    """The configuration as a host would make it: by the ingress's own program, for this very nginx."""
    asked, config = folder / "ingress.yaml", folder / "nginx.conf"
    asked.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
    command = [sys.executable, "-m", "deploy.ingress.nginx", "render", "--settings", str(asked)]
    command += ["--nginx", str(program.path), "--output", str(config)]
    try:
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **program.environment},
            capture_output=True,
            text=True,
            timeout=RENDER_BOUND_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise StackNotReady(
            "the ingress has no configuration",
            expected=f"deploy.ingress.nginx to render one within {RENDER_BOUND_S:g} s",
            seen=str(getattr(error, "stderr", None) or error).strip()[-2000:],
            hint="correct `ingress` and `gateway.settings` in the profile",
        ) from None
    return config

"""Checks of this machine: what a run needs here before it can ask a cluster for anything."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from environments.binaries import ROOT
from environments.kubernetes.api import Document
from environments.kubernetes.check import Check
from environments.kubernetes.rendering import render
from environments.kubernetes.wants import Wants
from environments.preflight import visible_gpus
from environments.profile import ClusterProfile, Profile
from environments.provider import StackError

DRIVER_LEAST = 580  # of the CUDA 13 that vLLM's images are built with
ASK_BOUND_S = 20.0
INSTALL = {
    "kubectl": "https://kubernetes.io/docs/tasks/tools/ (it forwards ports and reaches into Pods)",
    "minikube": "minikube 1.39 or newer; then the command of deploy/guides/minikube.md, section 1",
    "docker": "Docker with nvidia-container-toolkit: only minikube's docker driver and runtime hand on GPUs",
    "nvidia-smi": f"the NVIDIA driver, {DRIVER_LEAST} or newer; `--env cluster` takes a node that claims one",
    "aws": "the AWS CLI, version 2: the context's credentials come from `aws eks get-token`",
}


def programs(cluster: ClusterProfile) -> Iterator[Check]:
    """kubectl, and what the place asks for."""
    for name in dict.fromkeys(("kubectl", *cluster.needs.programs)):
        found = shutil.which(name)
        yield Check(
            f"program {name}", found is not None, found or "not on PATH", INSTALL.get(name, "install it")
        )


def docker(cluster: ClusterProfile) -> Iterator[Check]:
    """Of a place whose images are made here: a Docker that answers, for its node takes them from there."""
    if "local" not in cluster.images.values():
        return
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=ASK_BOUND_S, check=False)
        answers, said = done.returncode == 0, done.stdout.strip() or done.stderr.strip()[:200]
    except (OSError, subprocess.TimeoutExpired) as error:
        answers, said = False, str(error)
    yield Check("Docker here", answers, said, "start the Docker of the cluster's node: images are made in it")


def gpu_here(profile: Profile, cluster: ClusterProfile) -> Iterator[Check]:
    """Of a place that is this machine itself: its GPU by name, and the driver."""
    if "nvidia-smi" not in cluster.needs.programs:
        return
    found = visible_gpus()
    fitting = [one for one in found if profile.accelerator is None or profile.accelerator in one]
    yield Check(
        f"GPU {profile.accelerator or 'of any kind'} here",
        bool(fitting),
        ", ".join(found) or "nvidia-smi lists none",
        "run this on that machine, or copy the profile and say what yours has: accelerator, limits",
    )
    if found:
        version = driver_here()
        yield Check("NVIDIA driver", driver_fits(version), version or "unknown", INSTALL["nvidia-smi"])


def driver_here() -> str | None:
    """The driver's version, as nvidia-smi gives it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=ASK_BOUND_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.partition("\n")[0].strip() or None


def driver_fits(version: str | None) -> bool | None:
    """Whether a driver is new enough; None where its version cannot be read."""
    head = (version or "").partition(".")[0]
    return int(head) >= DRIVER_LEAST if head.isdecimal() else None


def manifests(cluster: ClusterProfile) -> tuple[list[Document], Check]:
    """The overlay's objects, as a run would apply them, in a namespace that is there in every cluster."""
    overlay = cluster.overlay if cluster.overlay.is_absolute() else ROOT / cluster.overlay
    images = {name: image for name, image in cluster.images.items() if image != "local"}
    try:
        with tempfile.TemporaryDirectory(prefix="vllm-slo-preflight-") as folder:
            found = render(overlay, Path(folder), "default", images)
    except (StackError, subprocess.TimeoutExpired) as error:
        hint = getattr(error, "hint", None) or f"kubectl kustomize {cluster.overlay}"
        return [], Check("manifests", False, str(getattr(error, "seen", None) or error), hint)
    return found, Check("manifests", True, f"{len(found)} objects of {cluster.overlay}")


def placeholders(wants: Wants) -> Iterator[Check]:
    """What whoever owns the place has to fill in."""
    if not wants.placeholders:
        return
    names = ", ".join(sorted(wants.placeholders))
    yield Check(
        "filled in",
        False,
        f"{names} still stands in the manifests",
        "put yours into deploy/kubernetes/environments.yaml, then: python -m deploy.kubernetes",
    )


def tokens(cluster: ClusterProfile) -> Iterator[Check]:
    """Secrets that the run makes of variables. Their names are told, never their values."""
    for secret, variable in cluster.secrets.items():
        yield Check(
            f"variable {variable}",
            bool(os.environ.get(variable)),
            "set" if os.environ.get(variable) else "not set",
            f"read -rs {variable} && export {variable}: the Secret {secret} of the run is made of it",
        )


def host(cluster: ClusterProfile, addresses: list[str]) -> Iterator[Check]:
    """Whether the name of the way in leads anywhere from here. `addresses`: of the cluster's nodes."""
    if cluster.host is None:
        return
    found = _resolved(cluster.host)
    unknown = "$(minikube ip)" if "minikube" in cluster.needs.programs else "ADDRESS"
    where = addresses[0] if addresses else unknown
    line = f'echo "{where} {cluster.host}" | sudo tee -a /etc/hosts'
    seen = ", ".join(found) or "this machine knows no such name"
    if found and addresses and cluster.way_in == "ingress" and not {*found} & {*addresses}:
        yield Check(
            f"host {cluster.host}", None, f"{seen}: no address of a node ({', '.join(addresses)})", line
        )
        return
    yield Check(f"host {cluster.host}", bool(found), seen, line)


def _resolved(name: str) -> list[str]:
    try:
        return sorted({str(one[4][0]) for one in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)})
    except OSError:
        return []

"""Rendering: the manifests as kustomize makes them, one list of objects a place."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
KUSTOMIZE = ROOT / ".cache" / "kubernetes" / "root" / "usr" / "bin" / "kustomize"
OVERLAYS = ("minikube", "eks", "kubeadm")
SHARED = ("cluster/device-plugin", "cluster/dcgm-exporter", "cluster/ingress-nginx", "cluster/storage-gp3")
PLACES = (*(f"overlays/{name}" for name in OVERLAYS), *SHARED)
BOUND_S = 60.0

Document = dict[str, Any]


@functools.cache
def command() -> tuple[str, ...] | None:
    """What renders a folder: our own kustomize, the one on PATH, or kubectl's; None where there is none."""
    if KUSTOMIZE.is_file():
        return (str(KUSTOMIZE), "build")
    if found := shutil.which("kustomize"):
        return (found, "build")
    if found := shutil.which("kubectl"):
        return (found, "kustomize")
    return None


def render_text(folder: Path) -> str:
    """All objects of a kustomization as YAML. The calling test is skipped where nothing renders."""
    found = command()
    if found is None:
        pytest.skip("neither kustomize nor kubectl is here: `make setup PARTS=kubernetes`")
    done = subprocess.run(
        [*found, str(folder)], capture_output=True, text=True, timeout=BOUND_S, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return done.stdout


@functools.cache
def rendered(place: str) -> tuple[Document, ...]:
    """The objects of a folder of deploy/kubernetes; do not change them."""
    return tuple(documents(render_text(KUBERNETES / place)))


def documents(text: str) -> Iterator[Document]:
    """The objects of a YAML text."""
    yield from (document for document in yaml.safe_load_all(text) if document)


def of_kind(place: str, kind: str) -> list[Document]:
    """The objects of one kind."""
    return [document for document in rendered(place) if document["kind"] == kind]


def named(place: str, kind: str, name: str) -> Document:
    """The one object of this kind and name."""
    (found,) = [document for document in of_kind(place, kind) if document["metadata"]["name"] == name]
    return found


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or DaemonSet with its Pods' template."""

    document: Document

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.document["metadata"]["namespace"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.document["spec"]["template"]["metadata"]["labels"])

    @property
    def pod(self) -> Document:
        return dict(self.document["spec"]["template"]["spec"])

    @property
    def containers(self) -> list[Document]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def port(self, name: str) -> int:
        """The number of a named port. Raises StopIteration where no container has it."""
        ports = (port for one in self.containers for port in one.get("ports", []))
        return int(next(port["containerPort"] for port in ports if port["name"] == name))


def workloads(place: str) -> list[Workload]:
    """All that makes Pods."""
    return [Workload(one) for one in rendered(place) if one["kind"] in ("Deployment", "DaemonSet", "Job")]

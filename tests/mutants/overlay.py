"""Overlays with a fault in them: overlays/local with patches, rules or scrape jobs changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT

LOCAL = ROOT / "deploy" / "kubernetes" / "overlays" / "local"
GENERATED = ROOT / "deploy" / "kubernetes" / "components" / "prometheus" / "generated"
HERE = ROOT / "tests" / "mutants"
POD = "/spec/template/spec"
CONTAINER = f"{POD}/containers/0"
INSIDE = "/mutants"

Operation = Mapping[str, Any]
Files = Callable[[Path], Mapping[str, Sequence[str]]]  # folder -> generator of a ConfigMap -> key=file


@dataclass(frozen=True, slots=True)
class Patch:
    """JSON patches (RFC 6902) of all objects of a kind with a name (a regular expression)."""

    kind: str
    name: str
    operations: Sequence[Operation]

    def document(self) -> dict[str, Any]:
        """As kustomize wants it."""
        target = {"kind": self.kind, "name": self.name}
        return {"target": target, "patch": yaml.safe_dump([dict(one) for one in self.operations])}


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault in the manifests: call it with a folder and it is a profile's changes, as Mutant.prepare."""

    patches: Sequence[Patch] = ()
    files: Sequence[Files] = ()  # merged into ConfigMaps
    made: Mapping[str, Sequence[str]] = field(default_factory=dict)  # ConfigMaps of their own

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write the overlay."""
        overlay = folder / "overlay"
        overlay.mkdir()
        merged = [(name, keys) for one in self.files for name, keys in one(overlay).items()]
        document = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "vllm",
            "resources": [os.path.relpath(LOCAL, overlay.resolve())],
            "configMapGenerator": [
                *({"name": name, "behavior": "merge", "files": list(keys)} for name, keys in merged),
                *({"name": name, "files": _copied(overlay, keys)} for name, keys in self.made.items()),
            ],
            "patches": [one.document() for one in self.patches],
        }
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return {"cluster": {"overlay": str(overlay)}}


def added(path: str, value: Any) -> Operation:
    """Sets a field, or adds to a list where the path ends with "-"."""
    return {"op": "add", "path": path, "value": value}


def removed(path: str) -> Operation:
    return {"op": "remove", "path": path}


def deployment(name: str, *operations: Operation) -> Patch:
    return Patch("Deployment", name, operations)


def without_alert(file: str, alert: str) -> Files:
    """Prometheus lacks one alert."""

    def changed(folder: Path) -> Mapping[str, Sequence[str]]:
        document = yaml.safe_load((GENERATED / file).read_text("utf-8"))
        for group in document["groups"]:
            group["rules"] = [one for one in group["rules"] if one.get("alert") != alert]
        (folder / file).write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return {"vllm-prometheus-rules": [file]}

    return changed


def scraping(change: Callable[[dict[str, dict[str, Any]]], None]) -> Files:
    """Prometheus with its jobs, by name, changed."""

    def changed(folder: Path) -> Mapping[str, Sequence[str]]:
        document = yaml.safe_load((GENERATED / "prometheus.yml").read_text("utf-8"))
        change({one["job_name"]: one for one in document["scrape_configs"]})
        (folder / "prometheus.yml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return {"vllm-prometheus-settings": ["prometheus.yml"]}

    return changed


def gateway_patched(fault: str, module: str) -> Planted:
    """The gateways with a fault of tests/mutants/patches/ in them, mounted beside their own code."""
    files = ("gateway.py", f"patches/{module}.py")
    items = [{"key": Path(one).name, "path": f"tests/mutants/{one}"} for one in files]
    program = ["/usr/local/bin/python", "-m", "tests.mutants.gateway", "--fault", fault]
    volume = {"name": "mutants", "configMap": {"name": "mutants", "items": items}}
    patch = deployment(
        "vllm-gateway",
        added(f"{CONTAINER}/command", program),
        added(f"{CONTAINER}/env/-", {"name": "PYTHONPATH", "value": f"{INSIDE}:/app/site:/app"}),
        added(f"{CONTAINER}/volumeMounts/-", {"name": "mutants", "mountPath": INSIDE, "readOnly": True}),
        added(f"{POD}/volumes/-", volume),
    )
    return Planted([patch], made={"mutants": files})


def _copied(overlay: Path, files: Sequence[str]) -> list[str]:
    """kustomize reads no file outside its folder."""
    for one in files:
        (overlay / Path(one).name).write_bytes((HERE / one).read_bytes())
    return [Path(one).name for one in files]

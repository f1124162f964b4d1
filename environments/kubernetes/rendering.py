"""Rendering: an overlay of deploy/kubernetes as objects, in the namespace and with the images of one run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT
from environments.kubernetes.api import Api, Document
from environments.provider import MissingBinary, StackError

RENDER_BOUND_S = 60.0
OURS = (
    ROOT / ".cache" / "kubernetes" / "root" / "usr" / "bin" / "kustomize"
)  # of `make setup PARTS=kubernetes`


@dataclass(frozen=True, slots=True)
class Rendered:
    """What an overlay is made of. `left_out` names what a run does not apply, with the reason."""

    objects: tuple[Document, ...]
    left_out: Mapping[str, str]

    def of_kind(self, kind: str) -> list[Document]:
        return [one for one in self.objects if one["kind"] == kind]


def render(
    overlay: Path,
    folder: Path,
    namespace: str,
    images: Mapping[str, str],
    patches: tuple[Mapping[str, Any], ...] = (),
) -> list[Document]:
    """The objects of an overlay with the run's namespace, images and patches laid over it.

    StackError with kustomize's words where it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    over = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(overlay.resolve(), folder.resolve())],
        "images": [_image(name, reference) for name, reference in images.items()],
        "patches": [{"patch": yaml.safe_dump(dict(one))} for one in patches],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(over, sort_keys=False))
    done = subprocess.run(
        [*_renderer(), str(folder)], capture_output=True, text=True, timeout=RENDER_BOUND_S, check=False
    )
    if done.returncode:
        raise StackError(f"the overlay {overlay} cannot be rendered", seen=done.stderr.strip()[-2000:])
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def fitting(api: Api, objects: list[Document]) -> Rendered:
    """What of these objects a run applies: those in its namespace, of kinds that the server knows."""
    kept, left_out = [], {}
    for one in objects:
        found = api.resource(one["apiVersion"], one["kind"])
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Namespace":
            continue  # made before all else, with its owner's name
        if found is None:
            left_out[name] = f"this cluster does not know {one['apiVersion']} {one['kind']}"
        elif not found.namespaced:
            left_out[name] = "it is the whole cluster's, and a run changes nothing outside its namespace"
        else:
            kept.append(one)
    return Rendered(tuple(kept), left_out)


def _image(name: str, reference: str) -> dict[str, str]:
    repository, at, digest = reference.partition("@")
    if at:
        return {"name": name, "newName": repository, "digest": digest}
    head, colon, tag = reference.rpartition(":")
    return {"name": name, "newName": head, "newTag": tag} if colon and "/" not in tag else {
        "name": name, "newName": reference,
    }  # fmt: skip


def _renderer() -> list[str]:
    if OURS.is_file():
        return [str(OURS), "build"]
    for program, word in (("kustomize", "build"), ("kubectl", "kustomize")):
        if found := shutil.which(program):
            return [found, word]
    raise MissingBinary(
        "neither kustomize nor kubectl is on this machine",
        expected="one of them, to render deploy/kubernetes",
        hint="make setup PARTS=kubernetes",
    )

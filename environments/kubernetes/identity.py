"""Identity: what a stack in a cluster is made of, as facts of the fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from environments.kubernetes.api import Api, Document

COMPONENT = "app.kubernetes.io/component"


def objects_hash(objects: Sequence[Document], namespace: str) -> str:
    """A hash over what was applied: the same for the same overlay in every namespace. No Secret is in it."""
    told = (_unplaced(one, namespace) for one in objects if one["kind"] != "Secret")
    whole = "\n".join(sorted(json.dumps(one, sort_keys=True) for one in told))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _unplaced(value: Any, namespace: str) -> Any:
    """An object without the namespace that it is in: as a field, and in names of the cluster's DNS."""
    if isinstance(value, dict):
        held = {key: _unplaced(one, namespace) for key, one in value.items()}
        return {**held, **({"namespace": "NAMESPACE"} if value.get("namespace") == namespace else {})}
    if isinstance(value, list):
        return [_unplaced(one, namespace) for one in value]
    if isinstance(value, str):
        return re.sub(rf"\.{re.escape(namespace)}(?![\w-])", ".NAMESPACE", value)
    return value


def images_of_pods(pods: Sequence[Document]) -> dict[str, str]:
    """cluster.image.COMPONENT -> the digests that run, as the nodes resolved them: a tag may be anything."""
    found: dict[str, set[str]] = {}
    for pod in pods:
        name = (pod["metadata"].get("labels") or {}).get(COMPONENT, pod["metadata"]["name"])
        for one in pod.get("status", {}).get("containerStatuses", ()):
            digest = str(one.get("imageID") or one.get("image")).rpartition("://")[2]
            found.setdefault(name, set()).add(digest)
    return {f"cluster.image.{name}": ", ".join(sorted(ids)) for name, ids in sorted(found.items())}


def stack_facts(
    api: Api, namespace: str, objects: Sequence[Document], pods: Sequence[Document]
) -> dict[str, str]:
    """The server's version, what was applied, and the images that came of it."""
    return {
        "cluster.version": api.version(),
        **({"cluster.objects.sha256": objects_hash(objects, namespace)} if objects else {}),
        **images_of_pods(pods),
    }

"""Downgrades: what stands in an object of today in the place of what Kubernetes 1.20 does not know yet.

Each row is one difference between the versions, with when the newer form came. A row that changes nothing in
any overlay is one too many, and a test says so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.kubernetes.fields import definition, resources
from tests.kubernetes.rendering import Document

OURS = ".dry-run.vllm-slo.example"  # ends a group's name: nobody else's definitions are met or changed


@dataclass(frozen=True, slots=True)
class Downgrade:
    """`apply` changes an object in place."""

    since: str  # the first version that has what is taken away without a gate
    why: str
    apply: Callable[[Document], None]


def _api(kind: str, older: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        if document["kind"] == kind:
            document["apiVersion"] = older

    return change


def _without_eviction_policy(document: Document) -> None:
    if document["kind"] == "PodDisruptionBudget":
        document["spec"].pop("unhealthyPodEvictionPolicy", None)


def _exec_before_stop(document: Document) -> None:
    for container in _containers(document):
        stop = (container.get("lifecycle") or {}).get("preStop") or {}
        if seconds := stop.pop("sleep", {}).get("seconds"):
            stop["exec"] = {"command": ["sleep", str(seconds)]}


def _volume_of_the_node(document: Document) -> None:
    for volume in _pod(document).get("volumes", ()):
        if volume.pop("ephemeral", None):
            volume["emptyDir"] = {}


def _pod(document: Document) -> Document:
    spec = document.get("spec") or {}
    template = (
        spec.get("template")
        if document["kind"] in ("Deployment", "DaemonSet", "StatefulSet", "Job")
        else None
    )
    return dict(template["spec"]) if template else {}


def _containers(document: Document) -> Iterator[Document]:
    yield from _pod(document).get("initContainers", ())
    yield from _pod(document).get("containers", ())


DOWNGRADES = {
    "policy/v1": Downgrade(
        "1.21",
        "a PodDisruptionBudget was policy/v1beta1",
        _api("PodDisruptionBudget", "policy/v1beta1"),
    ),
    "unhealthyPodEvictionPolicy": Downgrade(
        "1.27",
        "a budget had no word on Pods that are not ready",
        _without_eviction_policy,
    ),
    "autoscaling/v2": Downgrade(
        "1.23",
        "a HorizontalPodAutoscaler was autoscaling/v2beta2",
        _api("HorizontalPodAutoscaler", "autoscaling/v2beta2"),
    ),
    "preStop.sleep": Downgrade(
        "1.30",
        "a container slept by a program of its own",
        _exec_before_stop,
    ),
    "ephemeral volumes": Downgrade(
        "1.21",
        "a volume made with its Pod was behind a gate",
        _volume_of_the_node,
    ),
}


def downgraded(document: Document, namespace: str, *, but: str = "") -> Document:
    """An object as 1.20 takes it, in a namespace that is there, its custom kind in a group of the test's own.

    `but` leaves one row of the table out.
    """
    made = copy.deepcopy(document)
    for name, row in DOWNGRADES.items():
        if name != but:
            row.apply(made)
    if "namespace" in made["metadata"]:
        made["metadata"]["namespace"] = namespace
    if (made["apiVersion"], made["kind"]) in resources():
        group, _, version = made["apiVersion"].partition("/")
        made["apiVersion"] = f"{group}{OURS}/{version}"
    return made


def definitions() -> list[Document]:
    """Of every custom kind of the table of fields, in groups of the test's own."""
    return [definition({**row, "group": f"{row['group']}{OURS}"}) for row in resources().values()]

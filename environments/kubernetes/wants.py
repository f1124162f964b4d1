"""Wants: what the objects of a stack ask of a cluster, read from the objects themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from environments.kubernetes.api import Document
from environments.kubernetes.gpus import PRESENT, wanted_by

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]+>")  # <BUCKET>: to be filled in by whoever owns the place
DEFAULT = "default"  # a volume that names no class gets the cluster's default one
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True, slots=True)
class Volume:
    """One that is made for the stack, or, of a template, for each of its Pods."""

    storage_class: str
    size_bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class Wants:
    """What is asked for. Counts are of the replicas that the objects begin with."""

    pods: Mapping[str, int]  # by workload
    most_pods: Mapping[str, int]  # where an autoscaler may go to
    gpus: int
    most_gpus: int
    volumes: tuple[Volume, ...]
    kinds: frozenset[tuple[str, str]]  # apiVersion, kind
    ingress_classes: frozenset[str]
    gateway_classes: frozenset[str]
    balancers: int  # Services and Gateways that a load balancer is made for
    images: frozenset[str]
    labelled_nodes: bool  # a Pod runs only on nodes with nvidia.com/gpu.present
    sleeps_before_stop: bool  # preStop.sleep
    placeholders: frozenset[str]
    s3: bool  # weights come from a bucket

    @property
    def storage_classes(self) -> frozenset[str]:
        return frozenset(one.storage_class for one in self.volumes)


def wants_of(documents: Iterable[Document]) -> Wants:
    """Read all objects once."""
    given = list(documents)
    workloads = {one["metadata"]["name"]: one for one in given if one["kind"] in WORKLOADS}
    scalers = {name: least_most for one in given for name, least_most in _scaled(one)}
    begin = {name: scalers.get(name, (_replicas(one),) * 2)[0] for name, one in workloads.items()}
    most = {name: max(begin[name], scalers.get(name, (0, 0))[1]) for name in workloads}
    gpus = {name: wanted_by(_pod(one)) for name, one in workloads.items()}
    texts = [text for one in given for text in _texts(one)]
    pods = [_pod(one) for one in workloads.values()]
    return Wants(
        pods=begin,
        most_pods=most,
        gpus=sum(gpus[name] * begin[name] for name in workloads),
        most_gpus=sum(gpus[name] * most[name] for name in workloads),
        volumes=tuple(_volumes(given, workloads, begin)),
        kinds=frozenset((one["apiVersion"], one["kind"]) for one in given),
        ingress_classes=_named(given, "Ingress", "ingressClassName"),
        gateway_classes=_named(given, "Gateway", "gatewayClassName"),
        balancers=sum(1 for one in given if _has_balancer(one)),
        images=frozenset(container["image"] for pod in pods for container in containers_of(pod)),
        labelled_nodes=any(PRESENT in pod.get("nodeSelector", {}) for pod in pods),
        sleeps_before_stop=any(_sleeps(container) for pod in pods for container in containers_of(pod)),
        placeholders=frozenset(found for text in texts for found in PLACEHOLDER.findall(text)),
        s3=any(text.startswith("s3://") for text in texts),
    )


def containers_of(pod: Document) -> list[Document]:
    return [*(pod.get("initContainers") or ()), *pod["containers"]]


def bytes_of(quantity: str) -> int:
    """`50Gi` in bytes. Raises KeyError for a unit that no volume has."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity)
    if found is None:
        raise ValueError(f"no quantity: {quantity!r}")
    return int(float(found[1]) * UNITS[found[2]])


def _pod(workload: Document) -> Document:
    return dict(workload["spec"]["template"]["spec"])


def _replicas(workload: Document) -> int:
    if workload["kind"] == "Job":
        return int(workload["spec"].get("parallelism", 1))
    return int(workload["spec"].get("replicas", 1))


def _scaled(document: Document) -> Iterator[tuple[str, tuple[int, int]]]:
    """The workload that an autoscaler is for, with the fewest and the most Pods that it may have."""
    spec = document.get("spec", {})
    if document["kind"] == "HorizontalPodAutoscaler":
        yield spec["scaleTargetRef"]["name"], (spec.get("minReplicas", 1), spec["maxReplicas"])
    elif document["kind"] == "ScaledObject":
        yield spec["scaleTargetRef"]["name"], (spec.get("minReplicaCount", 0), spec["maxReplicaCount"])


def _volumes(
    given: list[Document], workloads: Mapping[str, Document], pods: Mapping[str, int]
) -> Iterator[Volume]:
    for one in given:
        if one["kind"] == "PersistentVolumeClaim":
            yield _volume(one["spec"], 1)
    for name, workload in workloads.items():
        for claim in workload["spec"].get("volumeClaimTemplates", ()):
            yield _volume(claim["spec"], pods[name])
        for volume in _pod(workload).get("volumes", ()):
            if "ephemeral" in volume:
                yield _volume(volume["ephemeral"]["volumeClaimTemplate"]["spec"], pods[name])


def _volume(spec: Document, count: int) -> Volume:
    size = bytes_of(str(spec["resources"]["requests"]["storage"]))
    return Volume(spec.get("storageClassName") or DEFAULT, size, count)


def _named(given: list[Document], kind: str, field: str) -> frozenset[str]:
    return frozenset(one["spec"][field] for one in given if one["kind"] == kind and field in one["spec"])


def _has_balancer(document: Document) -> bool:
    if document["kind"] == "Service":
        return bool(document["spec"].get("type") == "LoadBalancer")
    return bool(document["kind"] == "Gateway")


def _sleeps(container: Document) -> bool:
    return "sleep" in ((container.get("lifecycle") or {}).get("preStop") or {})


def _texts(place: Any) -> Iterator[str]:
    if isinstance(place, Mapping):
        for value in place.values():
            yield from _texts(value)
    elif isinstance(place, list):
        for value in place:
            yield from _texts(value)
    elif isinstance(place, str):
        yield place

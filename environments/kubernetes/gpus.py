"""GPUs of a cluster: what its nodes offer, what Pods have taken, and where one Pod's worth is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from environments.kubernetes.api import Document

RESOURCE = "nvidia.com/gpu"
PRESENT = "nvidia.com/gpu.present"
PRODUCT = "nvidia.com/gpu.product"  # of GPU feature discovery, where it runs
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
DRIVER = ("nvidia.com/cuda.driver-version.full", "nvidia.com/cuda.driver.major")  # its newer, its older label
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Gpus:
    """Of all nodes that take Pods."""

    allocatable: int = 0
    taken: int = 0  # by Pods that have not ended
    offered_by: int = 0  # nodes with the resource: a device plugin runs there
    labelled: int = 0  # nodes with nvidia.com/gpu.present, by which the overlays choose
    products: Mapping[str, int] = field(default_factory=dict)  # GPUs of each, where somebody labels them
    machines: Mapping[str, int] = field(default_factory=dict)  # instance type -> GPUs of one such node
    drivers: tuple[str, ...] = ()

    @property
    def free(self) -> int:
        return self.allocatable - self.taken

    def __str__(self) -> str:
        if not self.allocatable:
            return f"no {RESOURCE}"
        known = ", ".join(f"{count} × {name}" for name, count in self.products.items())
        return f"{RESOURCE}: {self.free} of {self.allocatable} free" + (f" ({known})" if known else "")


def gpus_of(nodes: Iterable[Document], pods: Iterable[Document]) -> Gpus:
    """Count them. A node that is cordoned or not ready offers none, and what runs there takes none."""
    open_nodes = {one["metadata"]["name"]: one for one in nodes if _takes_pods(one)}
    offers = {name: _count(one["status"].get("allocatable")) for name, one in open_nodes.items()}
    products: Counter[str] = Counter()
    machines: dict[str, int] = {}
    for name, labels in ((name, _labels(one)) for name, one in open_nodes.items() if offers[name]):
        if PRODUCT in labels:
            products[labels[PRODUCT]] += offers[name]
        if INSTANCE_TYPE in labels:
            machines[labels[INSTANCE_TYPE]] = offers[name]
    return Gpus(
        allocatable=sum(offers.values()),
        taken=sum(wanted_by(one["spec"]) for one in pods if _holds(one, open_nodes)),
        offered_by=sum(1 for offered in offers.values() if offered),
        labelled=sum(1 for one in open_nodes.values() if _labels(one).get(PRESENT) == "true"),
        products=products,
        machines=machines,
        drivers=tuple(sorted({found for one in open_nodes.values() if (found := _driver(one))})),
    )


def wanted_by(pod: Document) -> int:
    """GPUs that a Pod's spec asks for: of its containers together, or of its greediest init container."""
    each = [_count((one.get("resources") or {}).get("limits")) for one in pod["containers"]]
    first = [_count((one.get("resources") or {}).get("limits")) for one in pod.get("initContainers") or ()]
    return max(sum(each), *first, 0)


def _count(amounts: Mapping[str, str] | None) -> int:
    return int((amounts or {}).get(RESOURCE, 0))


def _labels(node: Document) -> Mapping[str, str]:
    return node["metadata"].get("labels") or {}


def _driver(node: Document) -> str | None:
    return next((_labels(node)[label] for label in DRIVER if label in _labels(node)), None)


def _takes_pods(node: Document) -> bool:
    ready = any(
        one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ())
    )
    return ready and not node["spec"].get("unschedulable")


def _holds(pod: Document, nodes: Mapping[str, Document]) -> bool:
    return pod["spec"].get("nodeName") in nodes and pod.get("status", {}).get("phase") not in ENDED

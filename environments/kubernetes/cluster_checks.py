"""Checks of a cluster: what a stack's objects need there, before one of them is created."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from environments.kubernetes.api import Api, ApiError
from environments.kubernetes.capabilities import EXTENSIONS, Capabilities
from environments.kubernetes.check import Check
from environments.kubernetes.gpus import PRESENT, RESOURCE
from environments.kubernetes.machine_checks import DRIVER_LEAST, driver_fits
from environments.kubernetes.wants import DEFAULT, Wants
from environments.profile import ClusterProfile

SLEEP_SINCE = (1, 30)  # preStop.sleep, without asking for a feature gate
# What a run does in a namespace of its own, and what only some claims do: verb, group, resource, subresource.
RIGHTS = (
    ("create", "", "namespaces", ""),
    ("delete", "", "namespaces", ""),
    ("create", "", "secrets", ""),
    ("patch", "apps", "deployments", ""),
    ("list", "", "pods", ""),
    ("get", "", "pods", "log"),
    ("create", "", "pods", "portforward"),
)
FAULT_RIGHTS = (
    ("patch", "", "nodes", ""),
    ("create", "", "pods", "eviction"),
    ("create", "", "pods", "exec"),
    ("create", "batch", "jobs", ""),
)
IMAGES_LISTED = 50  # of a node's status, at most: an image beyond them is there and is not named
OWN_IMAGES = "vllm-slo/"
INSTALL = {
    "cert-manager.io/v1": "helm upgrade --install cert-manager … (deploy/kubernetes/README.md)",
    "monitoring.coreos.com/v1": "helm upgrade --install kube-prometheus-stack … (the place's guide)",
    "gateway.networking.k8s.io/v1": "the Gateway API's definitions (deploy/guides/eks.md, section 3)",
    "gateway.nginx.org/v1alpha1": "NGINX Gateway Fabric (deploy/guides/eks.md, section 3)",
    "keda.sh/v1alpha1": "helm upgrade --install keda kedacore/keda --namespace keda --create-namespace",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked against what."""

    api: Api
    cluster: ClusterProfile
    wants: Wants
    found: Capabilities


def version(of: Subject) -> Iterator[Check]:
    """Of the server, where an object needs a newer one."""
    numbers = re.match(r"v?(\d+)\.(\d+)", of.found.version)
    seen = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    least = SLEEP_SINCE if of.wants.sleeps_before_stop else (1, 20)
    yield Check(
        "Kubernetes",
        seen >= least,
        of.found.version,
        f"{least[0]}.{least[1]} or newer: "
        + (
            "the Pods sleep before they stop (preStop.sleep)" if least == SLEEP_SINCE else "server-side apply"
        ),
    )


def rights(of: Subject) -> Iterator[Check]:
    """By SelfSubjectAccessReview: what this context may do, in all namespaces."""
    for what, wanted, needed in (
        ("rights", RIGHTS, True),
        ("rights for faults and load Pods", FAULT_RIGHTS, False),
    ):
        denied = [_words(one) for one in wanted if not _may(of.api, one)]
        seen = f"may not {', '.join(denied)}" if denied else f"{len(wanted)} of {len(wanted)}"
        ok = not denied if needed else (None if denied else True)
        yield Check(what, ok, seen, f"a ClusterRole for the user of the context {of.api.context}")


def gpus(of: Subject) -> Iterator[Check]:
    """The device plugin, enough that are free, the label by which Pods choose a node, and the driver."""
    wanted = max(of.wants.gpus, of.cluster.needs.gpus)
    if not wanted:
        return
    found, adds = of.found.gpus, of.found.adds_nodes
    more = f"; {adds} may add a node" if adds else ""
    yield Check(
        "device plugin",
        found.offered_by > 0 or (None if adds else False),
        f"{found.offered_by} of {of.found.nodes} nodes offer {RESOURCE}{'' if found.offered_by else more}",
        "kubectl apply -k deploy/kubernetes/cluster/device-plugin (minikube: --gpus=all brings it)",
    )
    yield Check(
        f"GPUs: {wanted} free",
        found.free >= wanted or (None if adds else False),
        f"{found}{'' if found.free >= wanted else more}",
        "a node with more of them, or an end to what holds them: kubectl get pods -A",
    )
    if of.wants.labelled_nodes:
        seen = f"on {found.labelled} of {of.found.nodes} nodes{'' if found.labelled else more}"
        ok = found.labelled > 0 or (None if adds else False)
        yield Check(f"label {PRESENT}", ok, seen, f"kubectl label node NODE {PRESENT}=true")
    if not of.cluster.simulated:
        yield from _drivers(found.drivers)


def _drivers(found: Sequence[str]) -> Iterator[Check]:
    fits = [driver_fits(one) for one in found]
    yield Check(
        "driver of the nodes",
        None if not fits or None in fits else all(fits),
        ", ".join(found) or "no node says its own (GPU feature discovery would)",
        f"{DRIVER_LEAST} or newer on each GPU node: nvidia-smi there",
    )


def classes(of: Subject) -> Iterator[Check]:
    """Of storage, and of the way in."""
    needed = {
        *of.wants.storage_classes,
        *([of.cluster.needs.storage_class] if of.cluster.needs.storage_class else []),
    }
    for name in sorted(needed):
        there = (
            of.found.default_class if name == DEFAULT else name if name in of.found.storage_classes else None
        )
        yield Check(
            f"storage class {name}",
            there is not None,
            there or f"there are: {', '.join(of.found.storage_classes) or 'none'}",
            "kubectl get storageclasses; the place's guide says what brings it",
        )
    if of.cluster.way_in == "ingress":
        ways = of.wants.ingress_classes or {of.cluster.needs.ingress_class or "nginx"}
        yield from _ways("ingress class", ways, of.found.ingress_classes)
    if of.cluster.way_in == "gateway":
        yield from _ways("Gateway class", of.wants.gateway_classes, of.found.gateway_classes)


def _ways(what: str, wanted: frozenset[str] | set[str], found: Sequence[str]) -> Iterator[Check]:
    for name in sorted(wanted):
        seen = f"there are: {', '.join(found) or 'none'}"
        yield Check(
            f"{what} {name}",
            name in found,
            seen,
            "its controller: the place's guide, or deploy/kubernetes/README.md",
        )


def extensions(of: Subject) -> Iterator[Check]:
    """Kinds that the objects are of. What the profile does not insist on is left out of a run, and told."""
    served = set(of.api.groups())
    asked = {version for version, _ in of.wants.kinds if version in EXTENSIONS.values()}
    named = {version: name for name, version in EXTENSIONS.items()}
    for one in sorted(asked | set(of.cluster.needs.apis)):
        needed = one in of.cluster.needs.apis
        lacking = "not there" if needed else "not there: its objects are left out, and claims on them skip"
        yield Check(
            named.get(one, one),
            one in served or (False if needed else None),
            one if one in served else lacking,
            INSTALL.get(one, f"whatever brings {one}"),
        )
    if "HorizontalPodAutoscaler" in {kind for _, kind in of.wants.kinds}:
        seen = (
            "answers"
            if of.found.metrics_api
            else "does not answer: the number of gateways stays as it begins"
        )
        hint = "metrics-server (minikube addons enable metrics-server)"
        yield Check("metrics API", of.found.metrics_api or None, seen, hint)


def namespace(of: Subject) -> Iterator[Check]:
    """One of a fixed name is a run's own only if nobody has it."""
    name = of.cluster.namespace
    if name is None:
        return
    there = of.api.get("v1", "Namespace", name) is not None
    yield Check(
        f"namespace {name}",
        not there,
        "there already: a stack of somebody's, or another run's" if there else "free",
        f"--namespace {name} attaches to it; python -m environments reap removes what a killed run left",
    )


def images(of: Subject) -> Iterator[Check]:
    """Ours are in no public registry: each is named by the profile, or loaded into the nodes."""
    known, whole = _images_of_nodes(of.api)
    made_here = {name for name, image in of.cluster.images.items() if image == "local"}
    ours = {one: one.partition("@")[0].rpartition(":")[0] or one for one in of.wants.images}
    wanted = {one: name for one, name in sorted(ours.items()) if name.startswith(OWN_IMAGES)}
    lacking = [one for one, name in wanted.items() if name not in made_here and one not in known]
    if not wanted:
        return
    yield Check(
        "images of ours",
        True if not lacking else False if whole else None,
        f"no node has {', '.join(lacking)}, and no registry is named" if lacking else f"{len(wanted)} known",
        f"deploy/images/build {' '.join(wanted[one].rpartition('/')[2] for one in lacking)}\n"
        "then push and name them in a profile of your own (cluster.images: {NAME: REGISTRY/NAME:TAG}),\n"
        "or load them into the nodes (minikube image load)",
    )


def node_addresses(api: Api) -> list[str]:
    """Of the nodes, as they say; none where this context may not see them."""
    try:
        nodes = api.all("v1", "Node")
    except ApiError:
        return []
    kinds = ("InternalIP", "ExternalIP")
    found = (one for node in nodes for one in node["status"].get("addresses", ()))
    return [str(one["address"]) for one in found if one["type"] in kinds]


def _images_of_nodes(api: Api) -> tuple[set[str], bool]:
    """Images that nodes say they have, and whether each of them has named all."""
    try:
        lists = [one["status"].get("images") or [] for one in api.all("v1", "Node")]
    except ApiError:
        return set(), False
    said = {name for found in lists for one in found for name in one.get("names") or ()}
    return {name.removeprefix("docker.io/") for name in said}, all(len(one) < IMAGES_LISTED for one in lists)


def _may(api: Api, right: tuple[str, str, str, str]) -> bool:
    verb, group, resource, subresource = right
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    found = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return bool(found["status"].get("allowed"))


def _words(right: tuple[str, str, str, str]) -> str:
    verb, _, resource, subresource = right
    return f"{verb} {resource}" + (f"/{subresource}" if subresource else "")

"""Listing: the names of all that an API server has, so that "before = after" can be said of a run."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.cluster import CONTEXT_VARIABLE, Kubectl

RUN_LABEL = "vllm-slo.io/run"
# Made and dropped by the control plane itself, whoever uses the cluster: no run of ours leaves them.
CHURN = {
    "componentstatuses", "events", "events.events.k8s.io", "endpoints", "leases.coordination.k8s.io",
    "endpointslices.discovery.k8s.io", "nodes.metrics.k8s.io", "pods.metrics.k8s.io",
    "ingresses.extensions",  # those of networking.k8s.io by their older name
}  # fmt: skip
GONE_BOUND_S = 60.0


@dataclass(frozen=True, slots=True, order=True)
class Named:
    """One object; `namespace` is "" of a cluster-wide one, `run` the id of a run that a namespace is of."""

    kind: str
    namespace: str
    name: str
    run: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def listing(kubectl: Kubectl) -> frozenset[Named]:
    """All objects of all kinds that the server lists, by its own account of them, without what it churns."""
    kinds = sorted(set(kubectl("api-resources", "--verbs=list", "-o", "name").split()) - CHURN)
    found = kubectl.read(",".join(kinds), "-A", "--ignore-not-found")
    return frozenset(_named(one) for one in found["items"])


def _named(document: dict[str, Any]) -> Named:
    metadata = document["metadata"]
    group = document["apiVersion"].rpartition("/")[0]
    kind = f"{document['kind']}.{group}" if group else document["kind"]
    claim = document.get("spec", {}).get("claimRef") or {}  # a volume belongs where its claim is
    space = metadata.get("namespace") or (claim.get("namespace", "") if kind == "PersistentVolume" else "")
    run = (metadata.get("labels") or {}).get(RUN_LABEL, "") if kind == "Namespace" else ""
    return Named(kind, space, metadata["name"], run)


def changes(
    before: Iterable[Named], after: Iterable[Named], runs: Collection[str], *, is_ours: bool
) -> list[str]:
    """What came ("+ …") and what went ("- …") between two listings; empty where they are equal.

    In a cluster of our own everything counts. In somebody else's (KUBE_TEST_CONTEXT) others work meanwhile:
    there only cluster-wide objects that came and what is in, or is, a namespace of one of `runs` count.
    """
    old, new = set(before), set(after)
    came, went = new - old, old - new
    if not is_ours:
        spaces = {one.name for one in new if one.run and one.run in runs}
        came = {one for one in came if _space(one) in spaces or not _space(one)}
        went = set()
    return [*(f"+ {one}" for one in sorted(came)), *(f"- {one}" for one in sorted(went))]


def _space(one: Named) -> str:
    return one.name if one.kind == "Namespace" else one.namespace


def unchanged(
    kubectl: Kubectl, before: Iterable[Named], *runs: str, bound_s: float = GONE_BOUND_S
) -> list[str]:
    """The `changes` since `before` that are still there after a bound: volumes and tokens go a little later.

    `runs`: ids of the runs (their folders' names) in question; see `changes`.
    """
    is_ours = CONTEXT_VARIABLE not in os.environ
    until = time.monotonic() + bound_s
    kept = frozenset(before)
    while left := changes(kept, listing(kubectl), runs, is_ours=is_ours):
        if time.monotonic() > until:
            return left
        time.sleep(0.5)
    return []

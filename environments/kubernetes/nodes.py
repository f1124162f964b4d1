"""Nodes: cordoned and drained of this namespace's Pods, and given back whatever becomes of who did it."""

from __future__ import annotations

import atexit
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.ownership import Owner, owner_in
from environments.provider import Say, StackError

CORDONED_NOTE = "vllm-slo.io/cordoned-by"
CORDON_BOUND_S = 900.0  # a cordon of ours lasts no longer, for who cannot look at its owner
TOO_MANY = 429  # an eviction that a budget forbids
EVICT_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Drain:
    """What became of a node's Pods of one namespace."""

    node: str
    evicted: tuple[str, ...]
    held: dict[str, str]  # Pods that a disruption budget held to the end -> the server's words
    refusals: int  # evictions that a budget refused, those of Pods that went later included


def schedulable(node: Document) -> bool:
    return not node["spec"].get("unschedulable", False)


def why_not_ours(api: Api, node: str, namespace: str) -> str | None:
    """Why this node may not be cordoned by a run; None where nobody else can notice.

    Where another node takes Pods, a cordon moves them there. Where this is the only one, whoever else uses
    the cluster would wait.
    """
    nodes = {one["metadata"]["name"]: one for one in api.all("v1", "Node")}
    if node not in nodes:
        return f"there is no node {node}"
    if not schedulable(nodes[node]):
        return f"the node {node} is cordoned already, by somebody else"
    if any(schedulable(one) for name, one in nodes.items() if name != node):
        return None
    spaces = {one["metadata"]["namespace"] for one in api.all("v1", "Pod")}
    others = sorted(one for one in spaces - {namespace} if not one.startswith("kube-"))
    if others:
        return f"{node} is the only node that takes Pods, and others use it too: {', '.join(others)}"
    return None


@contextmanager
def cordoned(api: Api, node: str) -> Iterator[None]:
    """No new Pod comes to a node while the block lasts. The node says whose doing it is, for `reap`.

    StackError where somebody has cordoned it since it was looked at.
    """
    note = Owner.here(CORDON_BOUND_S).note()
    found = api.get("v1", "Node", node)
    if found is None or not schedulable(found):
        raise StackError(f"the node {node} is gone, or somebody else has cordoned it")
    atexit.register(_uncordon_quietly, api, node, note)
    try:
        _mark(api, node, note)
        yield
    finally:
        uncordon(api, node, note)
        atexit.unregister(_uncordon_quietly)


def uncordon(api: Api, node: str, note: str) -> None:
    """Let Pods come to a node again, if it still bears the note of who let them not."""
    found = api.get("v1", "Node", node)
    if found and _note_of(found) == note:
        _mark(api, node, None)


def _note_of(node: Document) -> str | None:
    found: str | None = (node["metadata"].get("annotations") or {}).get(CORDONED_NOTE)
    return found


def _mark(api: Api, node: str, note: str | None) -> None:
    change: dict[str, Any] = {
        "metadata": {"annotations": {CORDONED_NOTE: note}},
        "spec": {"unschedulable": True if note else None},
    }
    api.merge("v1", "Node", node, None, change)


def _uncordon_quietly(api: Api, node: str, note: str) -> None:
    """At the end of the process, where nothing can be told any more: the reaper has the rest."""
    try:
        uncordon(api, node, note)
    except ApiError:
        return


def left_cordons(api: Api) -> dict[str, str]:
    """Nodes that a run cordoned and that need it no more -> why."""
    return {name: why for name, (why, _) in _left(api).items()}


def _left(api: Api) -> dict[str, tuple[str, str]]:
    """Node -> why, and the note that it bears."""
    found = {}
    for node in api.all("v1", "Node"):
        note = _note_of(node) or ""
        owner = owner_in(note)
        why = owner.why_gone(datetime.now(UTC)) if owner else None
        if why is not None:
            found[str(node["metadata"]["name"])] = why, note
    return found


def uncordon_left(api: Api, say: Say) -> list[str]:
    """Give back the nodes that a run cordoned before it was killed."""
    found = _left(api)
    for node, (why, note) in found.items():
        say(f"uncordoning the node {node}: {why}")
        uncordon(api, node, note)
    return list(found)


def evict(api: Api, namespace: str, pod: str) -> str | None:
    """Ask for a Pod's end as a drain does; in the server's words why a budget forbids it, None where not.

    By whichever version of the API the server has the subresource in.
    """
    path = f"{api.place('v1', 'Pod', namespace, pod)}/eviction"
    body = {
        "apiVersion": _eviction(api),
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    }
    try:
        api.call("POST", path, body=body)
    except ApiError as error:
        if error.status == TOO_MANY:
            return str(error.seen)
        raise
    return None


def _eviction(api: Api) -> str:
    for one in api.call("GET", "/api/v1")["resources"]:
        if one["name"] == "pods/eviction":
            return f"{one.get('group') or 'policy'}/{one.get('version') or 'v1'}"
    raise StackError("this cluster evicts no Pods", seen=f"no pods/eviction in its API ({api.version()})")


@contextmanager
def drained(api: Api, node: str, namespace: str, bound_s: float) -> Iterator[Drain]:
    """Cordon a node and evict this namespace's Pods from it, nobody else's, for as long as the block lasts.

    Budgets are kept: a Pod that one holds is asked for again until `bound_s` is over, and then stays. Where
    no other node takes Pods, what was evicted waits until the end of the block.
    """
    with cordoned(api, node):
        yield _evict_all(api, node, namespace, bound_s)


def _evict_all(api: Api, node: str, namespace: str, bound_s: float) -> Drain:
    until_s, evicted, refusals = time.monotonic() + bound_s, list[str](), 0
    held: dict[str, str] = {}
    left = _names(api, node, namespace)
    while left:
        for name in left:
            why = evict(api, namespace, name)
            if why is None:
                evicted.append(name)
                held.pop(name, None)
            else:
                held[name], refusals = why, refusals + 1
        if not held or time.monotonic() > until_s:
            break
        time.sleep(EVICT_AGAIN_S)
        left = [name for name in _names(api, node, namespace) if name in held]
        held = {name: why for name, why in held.items() if name in left}
    return Drain(node, tuple(evicted), held, refusals)


def _names(api: Api, node: str, namespace: str) -> list[str]:
    """Pods of the namespace on a node that a drain moves: not going already, and of no DaemonSet."""
    found = [one["metadata"] for one in api.all("v1", "Pod", namespace, fields=f"spec.nodeName={node}")]
    return [one["name"] for one in found if "deletionTimestamp" not in one and not _stays(one)]


def _stays(metadata: Document) -> bool:
    return any(one["kind"] == "DaemonSet" for one in metadata.get("ownerReferences", ()))

"""Rollouts: waited for within a bound; one that fails is told with its events, Pods and last lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from environments.kubernetes.api import Api, Document
from environments.provider import Say, StackNotReady

POLL_EVERY_S = 0.3
# What does not mend itself: waited for a little, for an image may be on its way.
HOPELESS = (
    "ErrImagePull ImagePullBackOff InvalidImageName ErrImageNeverPull CreateContainerConfigError "
    "CreateContainerError RunContainerError CrashLoopBackOff"
).split()
HOPELESS_AFTER_S = 20.0
RESTARTS_MOST = 3
APPS = "apps/v1"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment (or StatefulSet, DaemonSet) that is waited for."""

    kind: str
    name: str


def wait_rolled_out(
    api: Api, namespace: str, rollouts: Sequence[Rollout], say: Say, bound_s: float
) -> dict[str, float]:
    """Seconds from now to ready, by name. StackNotReady with the evidence when one does not come."""
    began_s, hopeless_since_s = time.monotonic(), None
    ready_s: dict[str, float] = {}
    while len(ready_s) < len(rollouts):
        for one in rollouts:
            if one.name not in ready_s and unready(api, namespace, one) is None:
                ready_s[one.name] = time.monotonic() - began_s
                say(f"{one.name} rolled out after {ready_s[one.name]:.1f} s")
        waited_s = time.monotonic() - began_s
        stuck = [why for pod in pods(api, namespace) if (why := hopeless(pod))]
        hopeless_since_s = (hopeless_since_s or waited_s) if stuck else None
        given_up = hopeless_since_s is not None and waited_s - hopeless_since_s > HOPELESS_AFTER_S
        waiting = [one for one in rollouts if one.name not in ready_s]
        if waiting and (waited_s > bound_s or given_up):
            names = ", ".join(one.name for one in waiting)
            raise StackNotReady(
                f"{names} did not roll out" + (f": {stuck[0]}" if given_up else ""),
                expected=f"all Pods ready within {bound_s:g} s",
                seen="\n".join(
                    [*(unready(api, namespace, one) or "" for one in waiting), evidence(api, namespace)]
                ),
                hint=f"kubectl --context {api.context} -n {namespace} describe pods; or --keep-environment",
            )
        time.sleep(POLL_EVERY_S)
    return ready_s


def unready(api: Api, namespace: str, rollout: Rollout) -> str | None:
    """Why it has not rolled out, in a line; None when all its Pods are of its newest form and ready."""
    found = api.get(APPS, rollout.kind, rollout.name, namespace)
    if found is None:
        return f"{rollout.kind} {rollout.name}: it is not there"
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    if rollout.kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return f"{rollout.name}: not looked at by its controller yet"
    updated = status.get("updatedReplicas", status.get("updatedNumberScheduled", 0))
    ready = status.get("availableReplicas", status.get("numberAvailable", 0))
    there = status.get("replicas", updated)
    if updated == wanted == ready == there:
        return None
    return f"{rollout.name}: {ready} of {wanted} Pods ready, {updated} of the newest form, {there} there"


def pods(api: Api, namespace: str, labels: str = "") -> list[Document]:
    return api.all("v1", "Pod", namespace, labels=labels)


def is_ready(pod: Document) -> bool:
    """Whether it is ready and not going."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def hopeless(pod: Document) -> str | None:
    """Why a Pod will not become ready by waiting, in words; None while it may."""
    status = pod.get("status", {})
    for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = one.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in HOPELESS:
            said = f"{waiting['reason']}: {waiting.get('message', '')}".strip(": ")
            return f"container {one['name']} of {pod['metadata']['name']}: {said}"
        if one.get("restartCount", 0) >= RESTARTS_MOST and not one.get("ready"):
            return (
                f"container {one['name']} of {pod['metadata']['name']} was restarted {one['restartCount']} ×"
            )
    return None


def evidence(api: Api, namespace: str) -> str:
    """Pods that are not ready, their warnings and the last lines of their containers."""
    lines = []
    for pod in pods(api, namespace):
        if is_ready(pod):
            continue
        name, status = pod["metadata"]["name"], pod.get("status", {})
        lines.append(f"Pod {name}: {status.get('phase')}" + (f", {why}" if (why := hopeless(pod)) else ""))
        lines += [
            f"  {one['type']}: {one['message']}"
            for one in status.get("conditions", ())
            if one["status"] != "True" and one.get("message")
        ]
        lines += _last_lines(api, namespace, pod)
    warnings = [one for one in api.all("v1", "Event", namespace) if one.get("type") == "Warning"]
    lines += [
        f"event {e['reason']} on {e['involvedObject']['name']}: {e.get('message', '')}"
        for e in warnings[-10:]
    ]
    return "\n".join(lines) or "no Pod was made"


def _last_lines(api: Api, namespace: str, pod: Document) -> list[str]:
    found = []
    for one in (*pod["status"].get("initContainerStatuses", ()), *pod["status"].get("containerStatuses", ())):
        began = "running" in one.get("state", {}) or "terminated" in one.get("state", {})
        restarted = one.get("restartCount", 0) > 0
        if not one.get("ready") and (began or restarted):
            text = api.log(namespace, pod["metadata"]["name"], one["name"], previous=restarted and not began)
            found += [f"  {one['name']}, last lines:", *(f"    {line}" for line in text.splitlines())]
    return found

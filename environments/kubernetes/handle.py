"""The handle: the cluster that a stack is in, as claims look at it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from environments.kubernetes.api import Api, Document
from environments.kubernetes.context import kubectl, kubectl_environment
from environments.kubernetes.recovery import COMPONENT
from environments.kubernetes.rollout import Rollout, evidence, unready
from environments.provider import StackError, StackNotReady

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
POLL_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class ClusterHandle:
    """The namespace of a stack, and the API under the rights of the context that was named."""

    api: Api
    namespace: str
    context: str
    # As they were applied; none of a stack that is somebody else's. Long: no failure prints them.
    objects: tuple[Document, ...] = field(repr=False)
    owned: bool  # applied by this run, and so its to break

    def workload(self, component: str) -> Rollout:
        """What makes the Pods of a component. StackError where nothing was applied for it."""
        for one in self.objects:
            labels = one["metadata"].get("labels") or {}
            if one["kind"] in WORKLOADS and labels.get(COMPONENT) == component:
                return Rollout(one["kind"], one["metadata"]["name"])
        raise StackError(
            f"the stack in {self.namespace} has no {component}", seen=", ".join(self.components())
        )

    def workloads(self) -> list[Rollout]:
        return [
            Rollout(one["kind"], one["metadata"]["name"]) for one in self.objects if one["kind"] in WORKLOADS
        ]

    def components(self) -> list[str]:
        found = [one["metadata"].get("labels") or {} for one in self.objects if one["kind"] in WORKLOADS]
        return [labels[COMPONENT] for labels in found if COMPONENT in labels]

    def pods(self, component: str = "") -> list[Document]:
        """The Pods of a component, or all, by name; those that are going are left out."""
        labels = f"{COMPONENT}={component}" if component else ""
        found = self.api.all("v1", "Pod", self.namespace, labels=labels)
        staying = [one for one in found if "deletionTimestamp" not in one["metadata"]]
        return sorted(staying, key=lambda one: str(one["metadata"]["name"]))

    def unsettled(self) -> str | None:
        """What is not yet as it should be, in a line; None when every workload has rolled out and no Pod is
        going any more."""
        for one in self.workloads():
            if why := unready(self.api, self.namespace, one):
                return why
        there = self.api.all("v1", "Pod", self.namespace)
        going = [one["metadata"]["name"] for one in there if "deletionTimestamp" in one["metadata"]]
        return f"still going: {', '.join(going)}" if going else None

    def settle(self, bound_s: float) -> float:
        """Seconds until all is as it should be. StackNotReady with the evidence after the bound."""
        began_s = time.monotonic()
        if self.seen(lambda: self.unsettled() is None, bound_s):
            return time.monotonic() - began_s
        raise StackNotReady(
            f"the stack in {self.namespace} is not well again",
            expected=f"every workload rolled out within {bound_s:g} s",
            seen=f"{self.unsettled()}\n{evidence(self.api, self.namespace)}",
        )

    def seen(self, what: Callable[[], bool], bound_s: float) -> bool:
        """Whether something comes true within a bound."""
        until_s = time.monotonic() + bound_s
        while not what():
            if time.monotonic() >= until_s:
                return False
            time.sleep(POLL_EVERY_S)
        return True

    def images(self, component: str) -> set[str]:
        """The images that a component's Pods are of."""
        return {one["image"] for pod in self.pods(component) for one in pod["spec"]["containers"]}

    def cordoned(self, node: str) -> bool:
        """Whether a node takes no new Pods."""
        found = self.api.get("v1", "Node", node)
        return bool(found and found["spec"].get("unschedulable"))

    def rollout_failed(self, component: str) -> bool:
        """Whether a component's Deployment itself calls its rollout failed."""
        one = self.workload(component)
        found = self.api.get("apps/v1", one.kind, one.name, self.namespace) or {}
        told = {each["type"]: each for each in found.get("status", {}).get("conditions", ())}
        return bool(told.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded")

    def restarts(self, pod: str) -> int:
        """How often the containers of a Pod were restarted; 0 of one that is not there."""
        found = self.api.get("v1", "Pod", pod, self.namespace) or {}
        return sum(one["restartCount"] for one in found.get("status", {}).get("containerStatuses", ()))

    def in_service(self, service: str) -> set[str]:
        """The Pods that a Service leads to now."""
        found = self.api.get("v1", "Endpoints", service, self.namespace) or {}
        return {
            one["targetRef"]["name"]
            for subset in found.get("subsets") or ()
            for one in subset.get("addresses") or ()
            if one.get("targetRef", {}).get("kind") == "Pod"
        }

    def run_inside(
        self, pod: str, container: str, command: Sequence[str], bound_s: float
    ) -> subprocess.CompletedProcess[str]:
        """A command in a container, by kubectl. TimeoutExpired when it does not end within the bound."""
        words = ["-n", self.namespace, "exec", pod, "-c", container, "--", *command]
        return subprocess.run(
            kubectl(self.context, *words), capture_output=True, text=True, timeout=bound_s, check=False,
            stdin=subprocess.DEVNULL, env=kubectl_environment(),
        )  # fmt: skip

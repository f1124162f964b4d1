"""Faults in a cluster, each planted on purpose in this run's namespace, and undone at its block's end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from environments.kubernetes.api import Document
from environments.kubernetes.handle import ClusterHandle
from environments.kubernetes.nodes import drained, evict, why_not_ours
from environments.kubernetes.recovery import COMPONENT
from environments.provider import StackError

JSON_PATCH = "application/json-patch+json"
RESTARTED_NOTE = "kubectl.kubernetes.io/restartedAt"  # the one that `kubectl rollout restart` writes
NO_IMAGE = "vllm-slo.invalid/no-such-image:0"  # .invalid: no name server knows it (RFC 2606)
EXEC_BOUND_S = 20.0
CUT = "vllm-slo-cut"

# Unmapped pages of an anonymous file are the container's memory but no process's. The kernel ends the server
# for them, and not this process, because of the score that everybody may raise for processes of his own.
HOG = """
import os
open("/proc/1/oom_score_adj", "w").write("1000")
held, some = os.memfd_create("hog"), bytes(1 << 16)
for _ in range({mebibytes} * 16):
    os.write(held, some)
"""
# A switch that a restart turns off by itself: it holds the start of the process that it speaks of.
SELF = "open('/proc/1/stat').read().rsplit(')', 1)[1].split()[19]"
FLIP = "open('/tmp/{name}', 'w').write({self})"
PROBE = "import os,sys; n='/tmp/{name}'; sys.exit(os.path.exists(n) and open(n).read() == {self})"
CONNECT = "import socket; socket.create_connection(('{host}', {port}), {bound_s}).close()"
CONNECT_BOUND_S = 3.0
HOG_BOUND_S = 60.0
OFTEN = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 1}


@dataclass(frozen=True, slots=True)
class ClusterFaults:
    """What may break in a cluster. Only of a stack that this run applied: StackError of any other."""

    on: ClusterHandle

    def __post_init__(self) -> None:
        if not self.on.owned:
            raise StackError(f"the stack in {self.on.namespace} is somebody else's: nothing of it is broken")

    def first(self, component: str) -> str:
        """The name of a component's first Pod; StackError without one."""
        found = self.on.pods(component)
        if not found:
            raise StackError(f"{component} has no Pod in {self.on.namespace}")
        return str(found[0]["metadata"]["name"])

    def delete_pod(self, component: str, *, grace_s: int | None = None) -> str:
        """Ask for the end of a component's first Pod; with 0 s its processes are killed. Its name."""
        name = self.first(component)
        self.on.api.delete("v1", "Pod", name, self.on.namespace, grace_s=grace_s)
        return name

    def evict(self, component: str) -> str | None:
        """Evict a component's first Pod; in words why a budget forbids it, None where not."""
        return evict(self.on.api, self.on.namespace, self.first(component))

    def restart(self, component: str) -> None:
        """New Pods for old, by the component's own strategy, as `kubectl rollout restart` does it."""
        one = self.on.workload(component)
        now = datetime.now(UTC).isoformat()
        change = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_NOTE: now}}}}}
        self.on.api.merge("apps/v1", one.kind, one.name, self.on.namespace, change)

    @contextmanager
    def changed(self, component: str, change: Callable[[Document], None]) -> Iterator[None]:
        """A workload's spec changed while the block lasts; then it is put back as it was, to the letter."""
        one, api = self.on.workload(component), self.on.api
        path = api.place("apps/v1", one.kind, self.on.namespace, one.name)
        before: Document = api.call("GET", path)["spec"]
        after = copy.deepcopy(before)
        change(after)
        touched = [name for name in after if after[name] != before.get(name)]
        try:
            api.call("PATCH", path, body=_replacing(touched, after), content_type=JSON_PATCH)
            yield
        finally:
            api.call("PATCH", path, body=_replacing(touched, before), content_type=JSON_PATCH)

    def unpullable(self, component: str, told_after_s: int) -> Any:
        """An image that there is not; the workload calls its rollout failed after `told_after_s`."""

        def change(spec: Document) -> None:
            spec["progressDeadlineSeconds"] = told_after_s
            _container(spec)["image"] = NO_IMAGE

        return self.changed(component, change)

    def too_little_memory(self, component: str, mebibytes: int) -> Any:
        """A limit of memory below what the program needs."""

        def change(spec: Document) -> None:
            resources = _container(spec).setdefault("resources", {})
            for kind in ("requests", "limits"):
                resources.setdefault(kind, {})["memory"] = f"{mebibytes}Mi"

        return self.changed(component, change)

    def exhaust_memory(self, component: str) -> str:
        """Fill the memory of a component's first Pod beyond its limit, and see the kernel end it. Its name.

        StackError where it has no limit: the node would run out instead.
        """
        pod = self.on.pods(component)[0]
        container = pod["spec"]["containers"][0]
        limit = container.get("resources", {}).get("limits", {}).get("memory")
        if limit is None:
            raise StackError(f"{component} has no limit of memory: filling it would take the whole node's")
        mebibytes = quantity_bytes(limit) // (1 << 20) + 16
        name, code = str(pod["metadata"]["name"]), HOG.format(mebibytes=mebibytes)
        done = self._python(name, container["name"], code, HOG_BOUND_S)
        if done.returncode == 0:
            raise StackError(f"{name} holds more than its limit of {limit}, and nothing happens")
        return name

    @contextmanager
    def switched(self, component: str) -> Iterator[None]:
        """A component's probes hang on switches while the block lasts, see `unready` and `unwell`."""

        python = self._interpreter(self.first(component), self._container_of(component))

        def change(spec: Document) -> None:
            one = _container(spec)
            for kind, name in (("readinessProbe", "unready"), ("livenessProbe", "unwell")):
                command = [python, "-ISc", PROBE.format(name=name, self=SELF)]
                one[kind] = {"exec": {"command": command}, **OFTEN}

        with self.changed(component, change):
            yield

    @contextmanager
    def unready(self, component: str) -> Iterator[str]:
        """A Pod's readiness probe fails while the block lasts. Gives its name."""
        name, container = self.first(component), self._container_of(component)
        with ExitStack() as undo:
            undo.callback(self._python, name, container, "import os; os.unlink('/tmp/unready')")
            self._flip(name, container, "unready")
            yield name

    def unwell(self, component: str) -> str:
        """A Pod's liveness probe fails from now on, until its container is a new one. Gives its name."""
        name = self.first(component)
        self._flip(name, self._container_of(component), "unwell")
        return name

    @contextmanager
    def cut(self, component: str) -> Iterator[None]:
        """Nobody may talk to a component's Pods while the block lasts, by every policy that lets somebody."""
        api, namespace = self.on.api, self.on.namespace
        group, kind = "networking.k8s.io/v1", "NetworkPolicy"
        selector = {"matchLabels": {COMPONENT: component}}
        spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": []}
        document = {
            "apiVersion": group,
            "kind": kind,
            "metadata": {"name": CUT, "namespace": namespace},
            "spec": spec,
        }
        labels = self.on.pods(component)[0]["metadata"]["labels"]
        with ExitStack() as undo:
            undo.callback(api.delete, group, kind, CUT, namespace)
            api.apply(document)
            for one in api.all(group, kind, namespace):
                if one["spec"].get("ingress") and _selects(one["spec"]["podSelector"], labels):
                    name, rules = one["metadata"]["name"], one["spec"]["ingress"]
                    undo.callback(api.merge, group, kind, name, namespace, {"spec": {"ingress": rules}})
                    api.merge(group, kind, name, namespace, {"spec": {"ingress": []}})
            yield

    def why_unenforced(self) -> str | None:
        """Why a NetworkPolicy would cut nothing here, by trial; None where policies are kept.

        The manifests let no engine talk to a gateway: where it can, nobody keeps them. A gateway that is
        ready does listen, for the node asks it.
        """
        gateway = self.on.pods("gateway")[0]
        port = gateway["spec"]["containers"][0]["ports"][0]["containerPort"]
        code = CONNECT.format(host=gateway["status"]["podIP"], port=port, bound_s=CONNECT_BOUND_S)
        done = self._python(self.first("engine"), self._container_of("engine"), code)
        if done.returncode == 0:
            return "the network here keeps no NetworkPolicy: an engine reached a gateway, which none allows"
        if "Traceback" not in done.stderr:
            return f"whether NetworkPolicies are kept could not be tried: {done.stderr.strip()[-300:]}"
        return None

    def drained(self, component: str, bound_s: float) -> Any:
        """The node of a component's first Pod is drained of this stack's Pods while the block lasts."""
        return drained(self.on.api, self.node_of(component), self.on.namespace, bound_s)

    def why_no_drain(self, component: str) -> str | None:
        """Why the node of a component's first Pod may not be drained; None where it may."""
        return why_not_ours(self.on.api, self.node_of(component), self.on.namespace)

    def node_of(self, component: str) -> str:
        return str(self.on.pods(component)[0]["spec"]["nodeName"])

    def _container_of(self, component: str) -> str:
        return str(self.on.pods(component)[0]["spec"]["containers"][0]["name"])

    def _flip(self, pod: str, container: str, name: str) -> None:
        done = self._python(pod, container, FLIP.format(name=name, self=SELF))
        if done.returncode:
            raise StackError(f"the switch {name} of {pod} cannot be turned", seen=done.stderr.strip()[-500:])

    def _python(self, pod: str, container: str, code: str, bound_s: float = EXEC_BOUND_S) -> Any:
        words = [self._interpreter(pod, container), "-ISc", code]
        return self.on.run_inside(pod, container, words, bound_s)

    def _interpreter(self, pod: str, container: str) -> str:
        """What the container calls its Python; StackError where it has none."""
        for name in ("python3", "python"):
            if self.on.run_inside(pod, container, [name, "-V"], EXEC_BOUND_S).returncode == 0:
                return name
        raise StackError(f"the container {container} of {pod} has no Python to plant a fault with")


def quantity_bytes(text: str) -> int:
    """An amount of memory as Kubernetes writes it, in bytes. ValueError for what is none."""
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
             "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}  # fmt: skip
    for unit, factor in units.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(float(text))


def _replacing(names: list[str], spec: Document) -> list[Document]:
    """A JSON patch (RFC 6902) that sets these fields of a spec, or takes them away where it has none."""
    return [
        {"op": "add", "path": f"/spec/{name}", "value": spec[name]}
        if name in spec
        else {"op": "remove", "path": f"/spec/{name}"}
        for name in names
    ]


def _container(spec: Document) -> Document:
    found: Document = spec["template"]["spec"]["containers"][0]
    return found


def _selects(selector: Document, labels: Document) -> bool:
    """Whether a selector chooses Pods with these labels; one by expressions is taken to."""
    return all(labels.get(name) == value for name, value in (selector.get("matchLabels") or {}).items())

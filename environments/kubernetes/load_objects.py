"""The objects of load Pods: a namespace, its rules, and Jobs whose Pods wait for engines to be started."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from environments.kubernetes.api import FORBIDDEN, Api, ApiError, Document
from environments.kubernetes.ownership import Owner, marks

IMAGE_NAME = "vllm-slo/load"
CONTAINER = "load"
NAME = "vllm-slo-load"
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "load"}
REST = ("/usr/local/bin/python", "-m", "instruments.remote.rest")
WHOLE_CORE_M, SMALL_CORE_M, LEAST_CORE_M = 1000, 100, 10  # thousandths
MEMORY_MIB = 128  # asked for; the limit is eight times that
TMP_MIB = 2048  # for a journal that is on its way
KEPT_AFTER_S = 300  # of a Job that ended by itself, where nobody was left to remove it
USER = 10001


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Which Pods. `aliases`: names that only this machine knows, with the address that they have."""

    run_id: str
    count: int
    image: str
    cpu_m: int
    bound_s: float  # then Kubernetes itself ends them
    aliases: Mapping[str, str] = field(default_factory=dict)
    memory_mib: int = MEMORY_MIB

    @property
    def namespace(self) -> str:
        """Its own. A hash where the run's id does not fit: two runs never share one."""
        wanted = re.sub(r"[^a-z0-9-]+", "-", f"{NAME}-{self.run_id}".lower()).strip("-")
        if len(wanted) <= 63:
            return wanted
        return f"{wanted[:54].rstrip('-')}-{hashlib.sha256(self.run_id.encode()).hexdigest()[:8]}"


def cpu_request_m(api: Api, count: int) -> int:
    """What each Pod asks for: a core where nodes have as many free, else a small part of what is free.

    An engine is one thread, and late when it has to wait for a core; on a node without one to spare it runs
    on what the others leave, which its own check tells. Cordoned nodes do not count.
    """
    free_m = [_free_m(api, node) for node in api.all("v1", "Node") if not node["spec"].get("unschedulable")]
    if sum(max(0, one // WHOLE_CORE_M) for one in free_m) >= count:
        return WHOLE_CORE_M
    return max(LEAST_CORE_M, min(SMALL_CORE_M, max(free_m, default=0) // 2 // count))


def _free_m(api: Api, node: Document) -> int:
    """What of a node's cores no Pod has asked for; all of them for who may not see the Pods."""
    name, taken = node["metadata"]["name"], 0
    try:
        there = api.all(
            "v1", "Pod", fields=f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"
        )
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        there = []
    for container in (one for pod in there for one in pod["spec"]["containers"]):
        taken += _thousandths(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
    return _thousandths(node["status"]["allocatable"]["cpu"]) - taken


def _thousandths(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else round(float(quantity) * 1000)


def namespace_objects(plan: LoadPlan) -> list[Document]:
    """The namespace with its owner, and who may talk to what is in it: nobody."""
    labels, notes = marks(plan.run_id, "load", Owner.here(plan.bound_s), kept=False)
    safe = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": plan.namespace, "labels": {**labels, **safe}, "annotations": notes},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "nobody-comes-in", "namespace": plan.namespace},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        },
    ]


def jobs(plan: LoadPlan, *, indexed: bool) -> list[Document]:
    """One Indexed Job, or a Job for each Pod: an older server would take the one and forget that it is."""
    if indexed:
        return [_job(plan, NAME, {"completionMode": "Indexed", **_of(plan.count)})]
    return [_job(plan, f"{NAME}-{number}", _of(1)) for number in range(plan.count)]


def _of(count: int) -> dict[str, Any]:
    return {"completions": count, "parallelism": count}


def _job(plan: LoadPlan, name: str, shape: Mapping[str, Any]) -> Document:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": plan.namespace, "labels": LABELS},
        "spec": {
            **shape,
            "backoffLimit": 0,  # a Pod that was lost took its part of the load along: the run is void
            "activeDeadlineSeconds": max(1, round(plan.bound_s)),
            "ttlSecondsAfterFinished": KEPT_AFTER_S,
            "template": {"metadata": {"labels": LABELS}, "spec": _pod(plan)},
        },
    }


def _pod(plan: LoadPlan) -> dict[str, Any]:
    """Restricted, without a token, spread over the nodes as far as they go."""
    aliases = [{"ip": address, "hostnames": [name]} for name, address in sorted(plan.aliases.items())]
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"hostAliases": aliases} if aliases else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": LABELS},
            }
        ],
        "containers": [_container(plan)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": f"{TMP_MIB}Mi"}}],
    }


def _container(plan: LoadPlan) -> dict[str, Any]:
    """No limit on the CPU: a quota would stop the engine between two stamps, and measure itself."""
    return {
        "name": CONTAINER,
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(REST),
        "resources": {
            "requests": {"cpu": f"{plan.cpu_m}m", "memory": f"{plan.memory_mib}Mi"},
            "limits": {"memory": f"{8 * plan.memory_mib}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the Pod's own
    }

"""Load Pods: places in a cluster from which load is sent, in a namespace of their own, gone with the block.

A Pod waits; an engine is started in it for each load, over the API server (kubectl exec), and the key that it
sends with travels that way too: no Secret, no environment, no argument holds it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from environments.kubernetes.api import Api, Document
from environments.kubernetes.context import kubectl
from environments.kubernetes.images import local_images
from environments.kubernetes.load_objects import CONTAINER, IMAGE_NAME, LoadPlan, jobs, namespace_objects
from environments.kubernetes.rollout import HOPELESS_AFTER_S, evidence, hopeless, is_ready, pods
from environments.kubernetes.standing import made
from environments.provider import MissingBinary, Say, StackError, StackNotReady

IMAGE_VARIABLE = "VLLM_SLO_LOAD_IMAGE"
READY_BOUND_S = 180.0  # an image may have to be pulled on every node
POLL_EVERY_S = 0.3
FAR = ("/usr/local/bin/python", "-m", "instruments.remote.far")


@dataclass(frozen=True, slots=True)
class Crew:
    """Load Pods that are ready."""

    api: Api
    plan: LoadPlan
    pods: tuple[str, ...]
    nodes: tuple[str, ...]  # that they run on, each once
    indexed: bool  # one Indexed Job, or a Job for each Pod where the server knows none

    def command(self, pod: str) -> tuple[str, ...]:
        """What joins standard input and output to a load engine in a Pod."""
        inside = (
            "--namespace",
            self.plan.namespace,
            "exec",
            "--stdin",
            pod,
            "--container",
            CONTAINER,
            "--",
            *FAR,
        )
        return tuple(kubectl(self.api.context, *inside))

    def evidence(self) -> str:
        """What the cluster says of the Pods now: for an engine that was lost."""
        there = {pod["metadata"]["name"] for pod in pods(self.api, self.plan.namespace)}
        gone = [f"Pod {name}: it is not there any more" for name in self.pods if name not in there]
        return "\n".join([*gone, evidence(self.api, self.plan.namespace)])

    def facts(self) -> dict[str, str]:
        """For the fingerprint: what of this could change a number."""
        return {
            "load.pods": str(len(self.pods)),
            "load.image": self.plan.image,
            "load.nodes": str(len(self.nodes)),
            "load.cpu_request": f"{self.plan.cpu_m}m",
        }


@contextmanager
def load_pods(api: Api, plan: LoadPlan, say: Say) -> Iterator[Crew]:
    """Make the Pods, wait until all of them are there, and remove them whatever happens.

    StackNotReady with the evidence where they do not come; MissingBinary without kubectl.
    """
    if shutil.which("kubectl") is None:
        raise MissingBinary(
            "load Pods need kubectl",
            expected="kubectl on PATH: an engine is spoken to through `kubectl exec`",
        )
    namespace, *rules = namespace_objects(plan)
    with made(api, namespace, say):
        for document in rules:
            api.apply(document)
        indexed = _knows_indexed_jobs(api, plan)
        for document in jobs(plan, indexed=indexed):
            api.apply(document)
        found = _wait_ready(api, plan)
        names = tuple(sorted(pod["metadata"]["name"] for pod in found))
        nodes = tuple(sorted({str(pod["spec"]["nodeName"]) for pod in found}))
        say(f"{len(names)} load Pods on {len(nodes)} node{'s' * (len(nodes) > 1)}, in {plan.namespace}")
        yield Crew(api, plan, names, nodes, indexed)


def load_image(named: str | None, say: Say) -> str:
    """The image of the Pods: as named, or made on this machine. StackError says how to name one."""
    if named not in (None, "local"):
        return str(named)
    try:
        return local_images([IMAGE_NAME], say)[IMAGE_NAME]
    except StackError as error:
        raise StackError(
            f"there is no image for load Pods: {error.message}",
            expected=f"{IMAGE_VARIABLE}=REGISTRY/{IMAGE_NAME}:TAG, or one among the profile's images",
            seen=error.seen,
            hint="deploy/images/build load, from this working tree, and push it",
        ) from None


def _knows_indexed_jobs(api: Api, plan: LoadPlan) -> bool:
    """Whether the server keeps `completionMode`, asked without making anything.

    By POST: one that does not know the field drops it there without a word, and fails at server-side apply.
    """
    (asked,) = jobs(plan, indexed=True)
    place = api.place("batch/v1", "Job", plan.namespace)
    answered = api.call("POST", place, query={"dryRun": "All"}, body=asked)
    return bool(answered["spec"].get("completionMode") == "Indexed")


def _wait_ready(api: Api, plan: LoadPlan) -> list[Document]:
    """All Pods, ready. StackNotReady within a bound, or soon where waiting does not help."""
    began_s = time.monotonic()
    stuck_since_s: float | None = None
    while True:
        found = pods(api, plan.namespace)
        if len(found) == plan.count and all(is_ready(pod) for pod in found):
            return found
        now_s = time.monotonic()
        stuck = [why for pod in found if (why := hopeless(pod))]
        stuck_since_s = (stuck_since_s or now_s) if stuck else None
        given_up = stuck_since_s is not None and now_s - stuck_since_s > HOPELESS_AFTER_S
        if given_up or now_s - began_s > READY_BOUND_S:
            ready = sum(is_ready(pod) for pod in found)
            raise StackNotReady(
                f"{ready} of {plan.count} load Pods are ready" + (f": {stuck[0]}" if given_up else ""),
                expected=f"all of them within {READY_BOUND_S:g} s",
                seen=evidence(api, plan.namespace),
                hint="fewer with --load-pods, or nodes with room; "
                f"each asks for {plan.cpu_m}m CPU and {plan.memory_mib} MiB",
            )
        time.sleep(POLL_EVERY_S)

"""Recording: what the objects of a namespace tell of themselves, looked at again and again during a fault."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.recovery import (
    COMPONENT,
    NOT_READY,
    READY,
    Fact,
    Span,
    Timeline,
    facts_of_deployment,
    facts_of_event,
    facts_of_pod,
    well_at,
)
from environments.kubernetes.rollout import is_ready

LOOK_EVERY_S = 0.3  # a Pod that was deleted is there for seconds, with what it tells of its end
LEAVE_BOUND_S = 60.0


@dataclass(slots=True)
class Recorder:
    """Everything that was told so far. A Pod that is gone tells nothing any more, so it is asked in time."""

    api: Api
    namespace: str
    facts: set[Fact] = field(default_factory=set)
    least_ready: dict[str, int] = field(default_factory=dict)  # component -> the fewest Pods in any look
    looks: int = 0
    missed: int = 0
    _last: list[Document] = field(default_factory=list)
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Take what is there now; a server that does not answer is counted, and asked again."""
        with self._looking:
            try:
                pods = self.api.all("v1", "Pod", self.namespace)
                deployments = self.api.all("apps/v1", "Deployment", self.namespace)
            except ApiError:
                self.missed += 1
                return
            self.looks += 1
            self._last = pods
            for one in pods:
                self.facts |= facts_of_pod(one)
            for one in deployments:
                self.facts |= facts_of_deployment(one)
            self._count(pods, deployments)

    def _count(self, pods: list[Document], deployments: list[Document]) -> None:
        for one in deployments:
            name = one["metadata"].get("labels", {}).get(COMPONENT, "")
            ready = sum(is_ready(pod) for pod in pods if pod["metadata"]["labels"].get(COMPONENT) == name)
            self.least_ready[name] = min(ready, self.least_ready.get(name, ready))

    def timeline(self, began: datetime, ahead: Span | None = None) -> Timeline:
        """What happened from an instant of the API server's clock on. ValueError while a Pod is not ready.

        By nodes whose clocks are surely behind that one, it was earlier.
        """
        since = began + timedelta(seconds=min(0.0, ahead.high_s)) if ahead else began
        self.look()
        for one in self.api.all("v1", "Event", self.namespace):
            self.facts |= facts_of_event(one)
        return Timeline(
            began,
            tuple(sorted(one for one in told(self.facts) if one.at >= since)),
            well_at(self._last, since),
            tuple(sorted(self.least_ready.items())),
            self.looks,
            self.missed,
            ahead,
        )


def told(facts: set[Fact]) -> list[Fact]:
    """Facts without those that say nothing: until it is ready for the first time, a Pod is not ready."""
    ready: dict[str, datetime] = {}
    for one in facts:
        if one.what == READY:
            ready[one.subject] = min(one.at, ready.get(one.subject, one.at))
    return [
        one
        for one in facts
        if one.what != NOT_READY or (one.subject in ready and ready[one.subject] <= one.at)
    ]


@contextmanager
def recording(api: Api, namespace: str) -> Iterator[Recorder]:
    """Look at a namespace again and again while the block lasts."""
    recorder, over = Recorder(api, namespace), threading.Event()
    recorder.look()

    def go() -> None:
        while not over.wait(LOOK_EVERY_S):
            recorder.look()

    thread = threading.Thread(target=go, name="cluster-recorder", daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        over.set()
        thread.join(LEAVE_BOUND_S)

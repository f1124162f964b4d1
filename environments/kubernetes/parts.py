"""Parts of a stack in a cluster, as the suites know parts: whether they live, and their last lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.captured import tail
from environments.provider import StackDied

FRESH_S = 1.0  # all parts of a stack are asked before and after each claim: one list is enough for them
AWAY_BOUND_S = 60.0  # so long an API server may be silent before that itself is an error
LIST_BOUND_S = 10.0


class PodView:
    """The Pods of a namespace, asked for in one call for all parts, and not more often than is worth it."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api, self.namespace = api, namespace
        self._pods: list[Document] = []
        self._at_s = self._asked_s = -1e9
        self._asking = threading.Lock()

    def pods(self, labels: Mapping[str, str], *, fresh: bool = False) -> list[Document]:
        """Those with these labels. ApiError where the server has not answered for a minute."""
        with self._asking:
            if fresh or time.monotonic() - self._asked_s > FRESH_S:
                self._ask()
            return [
                one for one in self._pods if labels.items() <= (one["metadata"].get("labels") or {}).items()
            ]

    def _ask(self) -> None:
        path = self.api.place("v1", "Pod", self.namespace)
        try:
            self._pods = list(self.api.call("GET", path, bound_s=LIST_BOUND_S)["items"])
            self._at_s = time.monotonic()
        except ApiError as error:
            # The server's silence says nothing about the stack, which does not need it to serve.
            if error.status != 0 or time.monotonic() - self._at_s > AWAY_BOUND_S:
                raise
        self._asked_s = time.monotonic()


@dataclass(frozen=True, slots=True)
class ClusterPart:
    """The Pods of one name. Its death is a container that ended, or a Pod that went, by nobody's purpose."""

    name: str  # engine, gateway, ingress, prometheus …
    view: PodView
    labels: Mapping[str, str]
    captured: Path | None = None  # the folder with the logs of its containers, kept as they come
    is_scaled: bool = False  # something takes Pods away when there is little to do
    known: dict[str, int] = field(default_factory=dict)  # Pod/container -> restarts, when last looked at

    @property
    def pid(self) -> int | None:
        return None  # its process is on a node

    def look(self) -> None:
        """Take what is there now as how it should be: after a fault that was planted on purpose."""
        self.known.clear()
        self.known.update(_restarts(self.pods(fresh=True)))

    def check(self) -> None:
        """Raise StackDied where a container that we know ended, a Pod went, or none is left."""
        found = self.pods()
        if not found:
            raise self._died("no Pod of it is left")
        there = {pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]}
        gone = sorted({place.partition("/")[0] for place in self.known} - there)
        if gone and not self.is_scaled:
            raise self._died(f"the Pod {gone[0]} was deleted")
        now = _restarts(found)
        for place, count in now.items():
            if count > self.known.get(place, count):
                raise self._died(f"{place} was restarted: {_last_end(found, place)}", place)
            if ended := _ended(found, place):
                raise self._died(f"{place} ended: {ended}", place)
        self.known.update({place: count for place, count in now.items() if place not in self.known})

    def pods(self, *, fresh: bool = False) -> list[Document]:
        return self.view.pods(self.labels, fresh=fresh)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of each container, by the server; of Pods that are gone, as they were captured."""
        api, space, found = self.view.api, self.view.namespace, []
        for pod in self.pods():
            for container in pod["spec"]["containers"]:
                name = pod["metadata"]["name"]
                found.append(f"{name}:\n{api.log(space, name, container['name'], lines=lines)}")
        return "\n".join(found) or self._captured(lines)

    def _captured(self, lines: int) -> str:
        return (tail(self.captured, self.name, lines) if self.captured else "") or "(no log)"

    def _died(self, what: str, place: str | None = None) -> StackDied:
        """With the last lines of the container that ended, not of the one that came in its place."""
        if place is None:
            return StackDied(self.name, what, self._captured(20))
        pod, _, container = place.partition("/")
        told = self.view.api.log(self.view.namespace, pod, container, previous=True)
        return StackDied(self.name, what, self._captured(20) if told.startswith("(no log") else told)


def _containers(found: list[Document]) -> Iterator[tuple[str, Document]]:
    """Pod/container, and its status."""
    for pod in found:
        for one in pod.get("status", {}).get("containerStatuses", ()):
            yield f"{pod['metadata']['name']}/{one['name']}", one


def _restarts(found: list[Document]) -> dict[str, int]:
    return {
        place: one.get("restartCount", 0)
        for place, one in _containers([one for one in found if "deletionTimestamp" not in one["metadata"]])
    }


def _ended(found: list[Document], place: str) -> str | None:
    """How a container ended that has not been started again yet; None while it runs."""
    ended = dict(_containers(found))[place].get("state", {}).get("terminated")
    return _told(ended) if ended else None


def _last_end(found: list[Document], place: str) -> str:
    return _told(dict(_containers(found))[place].get("lastState", {}).get("terminated") or {})


def _told(ended: Document) -> str:
    return f"{ended.get('reason', 'unknown')}, exit code {ended.get('exitCode')}"

"""Parts of a stack in a cluster, as the suites know parts: whether they live, and their last lines."""

from __future__ import annotations

from dataclasses import dataclass, field

from environments.kubernetes.api import Api, Document
from environments.kubernetes.rollout import pods
from environments.provider import StackDied


@dataclass(frozen=True, slots=True)
class ClusterPart:
    """The Pods of one name. Its death is a container that ended, where nobody broke it on purpose."""

    name: str  # engine, gateway, ingress, prometheus …
    api: Api
    namespace: str
    labels: str
    restarts: dict[str, int] = field(
        default_factory=dict
    )  # Pod/container -> as they were when last looked at

    @property
    def pid(self) -> int | None:
        return None  # its process is on a node

    def look(self) -> None:
        """Take what is there now as how it should be: after a fault that was planted on purpose."""
        self.restarts.clear()
        self.restarts.update(_restarts(self.pods()))

    def check(self) -> None:
        """Raise StackDied where a container of a Pod that we know was restarted, or no Pod is left."""
        found = self.pods()
        if not found:
            raise StackDied(self.name, f"no Pod with {self.labels} is left in {self.namespace}", "(no log)")
        for place, count in _restarts(found).items():
            if count > self.restarts.get(place, count):
                raise StackDied(
                    self.name, f"{place} was restarted: {_last_end(found, place)}", self.log_tail()
                )

    def pods(self) -> list[Document]:
        return pods(self.api, self.namespace, self.labels)

    def log_tail(self, lines: int = 20) -> str:
        found = []
        for pod in self.pods():
            for container in pod["spec"]["containers"]:
                name = pod["metadata"]["name"]
                found.append(f"{name}:\n{self.api.log(self.namespace, name, container['name'], lines=lines)}")
        return "\n".join(found) or "(no log)"


def _restarts(found: list[Document]) -> dict[str, int]:
    return {
        f"{pod['metadata']['name']}/{one['name']}": one.get("restartCount", 0)
        for pod in found
        for one in pod.get("status", {}).get("containerStatuses", ())
    }


def _last_end(found: list[Document], place: str) -> str:
    name, _, container = place.partition("/")
    for pod in found:
        for one in pod.get("status", {}).get("containerStatuses", ()):
            if pod["metadata"]["name"] == name and one["name"] == container:
                ended = (one.get("lastState") or {}).get("terminated") or {}
                return f"{ended.get('reason', 'unknown')}, exit code {ended.get('exitCode')}"
    return "unknown"

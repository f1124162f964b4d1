"""Recovery as the cluster itself tells it: its objects' instants, and what may be said of whole seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from environments.kubernetes.api import Api, ApiError, Document

RESOLUTION_S = 1.0  # the API cuts its instants down to whole seconds
COMPONENT = "app.kubernetes.io/component"
LONGEST_MESSAGE = 160
ANSWER_BOUND_S = 5.0
TOLD_OF = ("Pod", "ReplicaSet", "Deployment", "Node")
READY, NOT_READY = "ready", "not ready"
CREATED, SCHEDULED, DELETION = "created", "scheduled", "deletion asked for"


@dataclass(frozen=True, slots=True)
class Span:
    """An interval of seconds, both ends included."""

    low_s: float
    high_s: float

    def __str__(self) -> str:
        return f"{round(self.low_s, 2):g} to {round(self.high_s, 2):g} s"


ONE_CLOCK = Span(0.0, 0.0)


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """Something that an object of the cluster says of itself. `at` is as told: in truth up to 1 s later."""

    at: datetime
    subject: str  # Pod vllm-gateway-…, Deployment vllm-gateway, Node …
    what: str
    component: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened from a fault on, in order. Its instants are the cluster's, none is our clock's."""

    began: datetime  # of the fault: the API server's clock just before it
    facts: tuple[Fact, ...]
    well_at: datetime | None  # when the last Pod of those that were there at the end had become ready
    least_ready: tuple[tuple[str, int], ...] = ()  # component -> the fewest Pods ready in any look
    looks: int = 0
    missed: int = 0  # looks that the API server did not answer
    # How far the nodes' clocks, by which Pods become ready, are ahead of the API server's; None: not known.
    ahead: Span | None = None

    def after(self, fact: Fact) -> Span:
        """Seconds from the fault to a fact."""
        return between(self.began, fact.at, self.ahead or ONE_CLOCK)

    def well_after(self) -> Span | None:
        """Seconds from the fault until all was ready again; None where nothing had ever to come back."""
        return None if self.well_at is None else between(self.began, self.well_at, self.ahead or ONE_CLOCK)

    def first(self, what: str, component: str = "") -> Fact | None:
        """The first fact that says this, in its beginning."""
        told = (one for one in self.facts if one.what.startswith(what))
        return next((one for one in told if component in ("", one.component)), None)

    def table(self) -> str:
        """A line a fact."""
        rows = [f"{self.after(one)!s:>14}  {one.subject}: {one.what}" for one in self.facts]
        return "\n".join([f"the fault: {self.began.isoformat()} by the API server's clock", *rows])

    def document(self) -> dict[str, Any]:
        well = self.well_after()
        return {
            "began": self.began.isoformat(),
            "resolution_s": RESOLUTION_S,
            "nodes_ahead_s": None if self.ahead is None else [self.ahead.low_s, self.ahead.high_s],
            "well_after_s": None if well is None else [well.low_s, well.high_s],
            "least_ready": dict(self.least_ready),
            "looks": self.looks,
            "missed": self.missed,
            "facts": [
                {
                    "after_s": [span.low_s, span.high_s],
                    "at": one.at.isoformat(),
                    "subject": one.subject,
                    "what": one.what,
                }
                for one in self.facts
                for span in [self.after(one)]
            ],
        }


def between(earlier: datetime, later: datetime, ahead: Span = ONE_CLOCK) -> Span:
    """Seconds between two instants that were cut down to whole seconds: each may have been up to 1 s later.

    So the truth is less than 1 s away from the difference; and what comes after is never before. The later
    may be of the same clock as the earlier, or of one that is `ahead` of it: the interval holds for both.
    """
    told_s = (later - earlier).total_seconds()
    low_s = told_s - RESOLUTION_S - max(0.0, ahead.high_s)
    return Span(max(0.0, low_s), max(0.0, told_s + RESOLUTION_S - min(0.0, ahead.low_s)))


def nodes_ahead(server: Span | None, nodes: Sequence[Span | None]) -> Span | None:
    """How far the clocks of nodes are ahead of the API server's, from how far each is ahead of ours."""
    if server is None or not nodes:
        return None
    known = [one for one in nodes if one is not None]
    if len(known) < len(nodes):
        return None
    low_s = min(one.low_s for one in known) - server.high_s
    return Span(low_s, max(one.high_s for one in known) - server.low_s)


def instant(text: str) -> datetime:
    """An instant as the API writes it (RFC 3339)."""
    return datetime.fromisoformat(text).astimezone(UTC)


def facts_of_pod(pod: Document) -> set[Fact]:
    """What one version of a Pod tells: the next may no longer have it."""
    metadata, status = pod["metadata"], pod.get("status", {})
    found = {CREATED: metadata["creationTimestamp"]}
    for one in status.get("conditions", ()):
        if one["type"] == "PodScheduled" and one["status"] == "True":
            found[SCHEDULED] = one["lastTransitionTime"]
        if one["type"] == "Ready" and one.get("lastTransitionTime"):
            found[READY if one["status"] == "True" else NOT_READY] = one["lastTransitionTime"]
    for one in status.get("containerStatuses", ()):
        found |= _container(one)
    told = {what: instant(at) for what, at in found.items() if at}
    if "deletionTimestamp" in metadata:
        grace_s = metadata.get("deletionGracePeriodSeconds") or 0
        # The server writes the end of the grace that it gives, not the instant at which it was asked.
        told[DELETION] = instant(metadata["deletionTimestamp"]) - timedelta(seconds=grace_s)
    component = (metadata.get("labels") or {}).get(COMPONENT, "")
    return {Fact(at, f"Pod {metadata['name']}", what, component) for what, at in told.items()}


def _container(status: Document) -> dict[str, str]:
    """State in words -> instant."""
    found: dict[str, str] = {}
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        if running := state.get("running"):
            found[f"container {status['name']} started"] = running.get("startedAt") or ""
        if ended := state.get("terminated"):
            why = f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"
            found[f"container {status['name']} ended: {why}"] = ended.get("finishedAt") or ""
    return found


def facts_of_deployment(deployment: Document) -> set[Fact]:
    """Its conditions, each with the instant at which it last changed."""
    name = f"Deployment {deployment['metadata']['name']}"
    component = (deployment["metadata"].get("labels") or {}).get(COMPONENT, "")
    return {
        Fact(
            instant(one["lastTransitionTime"]),
            name,
            f"{one['type']} {one['status']}: {one.get('reason', '')}",
            component,
        )
        for one in deployment.get("status", {}).get("conditions", ())
        if one.get("lastTransitionTime")
    }


def facts_of_event(event: Document) -> set[Fact]:
    """A warning, and what the kubelet did about it; of a repeated one the latest."""
    at = event.get("lastTimestamp") or event.get("eventTime")
    about = event["involvedObject"]
    is_news = event.get("type") == "Warning" or event.get("reason") == "Killing"
    if not at or not is_news or about["kind"] not in TOLD_OF:
        return set()
    said = " ".join(str(event.get("message", "")).split())[:LONGEST_MESSAGE]
    return {Fact(instant(at), f"{about['kind']} {about['name']}", f"{event.get('reason')}: {said}")}


def well_at(pods: Iterable[Document], began: datetime) -> datetime | None:
    """When the last of these Pods had become ready; None where all were ready before the fault.

    ValueError where one is not ready: then nothing is well yet.
    """
    found: list[datetime] = []
    for pod in pods:
        ready = next(
            (one for one in pod.get("status", {}).get("conditions", ()) if one["type"] == "Ready"), None
        )
        if ready is None or ready["status"] != "True":
            raise ValueError(f"{pod['metadata']['name']} is not ready")
        found.append(instant(ready["lastTransitionTime"]))
    later = [at for at in found if at >= began]
    return max(later, default=None)


def server_now(api: Api, namespace: str) -> datetime:
    """The API server's clock, cut down to a second: the stamp of an object that is made for show."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "what-time-is-it"}}
    found = api.call("POST", api.place("v1", "ConfigMap", namespace), query={"dryRun": "All"}, body=document)
    return instant(found["metadata"]["creationTimestamp"])


def node_now(api: Api, node: str) -> datetime | None:
    """A node's clock, cut down to a second: how its kubelet dates an answer. None where we may not ask."""
    try:
        with api.stream(f"/api/v1/nodes/{node}/proxy/healthz", {}, ANSWER_BOUND_S) as answer:
            dated = answer.headers.get("Date")
    except ApiError:
        return None
    return parsedate_to_datetime(dated) if dated else None


def clock_offset(samples: Sequence[tuple[float, float, float]]) -> Span | None:
    """Seconds by which another's clock is ahead of ours; None where no one offset fits all samples.

    A sample is our clock before asking, the other's cut down to a second, our clock after the answer. The
    other was somewhere in its second while we were between asking and having the answer.
    """
    low_s = max(told_s - after_s for _, told_s, after_s in samples)
    high_s = min(told_s + RESOLUTION_S - before_s for before_s, told_s, _ in samples)
    return Span(low_s, high_s) if low_s <= high_s else None

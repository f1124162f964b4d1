"""Monitors: the labels that a ServiceMonitor's targets and their samples have in Prometheus.

As the operator writes its scrape configuration (namespace, service, pod, container, endpoint, job; then the
monitor's own relabelings), and as Prometheus keeps a sample's label that its target has too. Source: the
operator's generator of scrape configurations, and `honor_labels` in Prometheus' configuration reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.kubernetes.rendering import Document, Workload, of_kind, workloads

ADDRESS = "10.0.0.1"


def target_labels(place: str, monitor: str) -> dict[str, str]:
    """Labels of the one target of a monitor, a Pod of the Service that it selects."""
    found = _monitor(place, monitor)
    service = _service(place, found)
    (endpoint,) = found["spec"]["endpoints"]
    (port,) = [one for one in service["spec"]["ports"] if one["name"] == endpoint["port"]]
    (pods,) = [one for one in workloads(place) if service["spec"]["selector"].items() <= one.labels.items()]
    own = service["metadata"]["labels"]
    labels = {
        "instance": f"{ADDRESS}:{pods.port(port['targetPort'])}",
        "namespace": service["metadata"]["namespace"],
        "service": service["metadata"]["name"],
        "pod": f"{pods.name}-0",
        "container": _container(pods, port["targetPort"]),
        "endpoint": endpoint["port"],
        # Where the Service has no such label, the operator takes its name.
        "job": own.get(found["spec"].get("jobLabel"), service["metadata"]["name"]),
    }
    for step in endpoint.get("relabelings", []):
        assert set(step) == {"action", "regex"}, "only dropping is worked out here"
        assert step["action"] == "labeldrop"
        labels = {name: value for name, value in labels.items() if not re.fullmatch(step["regex"], name)}
    return labels


def stored(place: str, monitor: str, own: Mapping[str, str]) -> dict[str, str]:
    """Labels of a sample in Prometheus that has the labels `own` on the target's page."""
    target = target_labels(place, monitor)
    if keeps_own(place, monitor):
        return {**target, **own}
    moved = {(f"exported_{name}" if name in target else name): value for name, value in own.items()}
    return {**moved, **target}


def keeps_own(place: str, monitor: str) -> bool:
    """Whether a sample's own label goes before the target's of that name."""
    (endpoint,) = _monitor(place, monitor)["spec"]["endpoints"]
    return bool(endpoint.get("honorLabels", False))


def series(name: str, labels: Mapping[str, str]) -> str:
    """A series as promtool reads it."""
    said = ", ".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{said}}}"


def _monitor(place: str, name: str) -> Document:
    (found,) = [one for one in of_kind(place, "ServiceMonitor") if one["metadata"]["name"] == name]
    return found


def _service(place: str, monitor: Mapping[str, Any]) -> Document:
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (found,) = [one for one in of_kind(place, "Service") if wanted <= one["metadata"]["labels"].items()]
    return found


def _container(pods: Workload, port: str) -> str:
    (found,) = [one for one in pods.containers if port in [each["name"] for each in one.get("ports", [])]]
    return str(found["name"])

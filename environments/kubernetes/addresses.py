"""Addresses: where the parts of a stack are reached from this machine, past its way in."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

import httpx

from environments.kubernetes.api import Api, Document
from environments.kubernetes.forwarding import Forwards
from environments.kubernetes.reaching import node_address
from environments.provider import StackError
from instruments.errors import SloError

CONNECT_BOUND_S = 2.0  # longer is a node that is not reached from here
REFUSED_BOUND_S = 6.0  # a port of the node opens a moment after its Pods are ready
ASK_BOUND_S = 5.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A Service that leads to a part, in order of preference; a NodePort beside it goes before a forward."""

    services: tuple[tuple[str, tuple[str, ...]], ...]  # name, names of its port
    component: str | None = None  # label of such a Service where it has another name
    operated: str | None = None  # label of the Service that an operator makes, in whatever namespace


PARTS = {
    "engine": _Part((("vllm-engine-direct", ("http",)), ("vllm-engine", ("http",))), component="engine"),
    "gateway": _Part((("vllm-gateway-direct", ("http",)), ("vllm-gateway", ("http",))), component="gateway"),
    "gateway_metrics": _Part((("vllm-gateway-metrics", ("metrics", "http")), ("vllm-gateway", ("metrics",)))),
    "prometheus": _Part((("vllm-prometheus", ("http", "web")),), operated="operated-prometheus=true"),
    "alertmanager": _Part((("vllm-alertmanager", ("http", "web")),), operated="operated-alertmanager=true"),
    "grafana": _Part((("vllm-grafana", ("http", "service")),), operated="app.kubernetes.io/name=grafana"),
}
ALERTMANAGER, RECEIVER_PORT = "vllm-alertmanager", "9094"
PATHS = {"gateway_metrics": "/metrics"}


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs by part. Those in `forwarded` are for metrics and functional probes: no load goes there."""

    urls: dict[str, str] = field(default_factory=dict)
    forwarded: tuple[str, ...] = ()
    unreached: dict[str, str] = field(default_factory=dict)  # part -> why it has no address

    def straight(self, part: str) -> str | None:
        """The URL of a part that load may go to; None where there is none."""
        return None if part in self.forwarded else self.urls.get(part)


def addresses(api: Api, namespace: str, forwards: Forwards) -> Addresses:
    """Where each part is reached: at a port of a node where this machine gets there, else forwarded."""
    found = Addresses()
    forwarded: list[str] = []
    node = _Node(api)
    for name, part in PARTS.items():
        try:
            url, is_forwarded = _reached(api, namespace, part, node, forwards)
        except SloError as error:
            found.unreached[name] = error.message
            continue
        if url is None:
            found.unreached[name] = f"there is no Service {part.services[-1][0]} in {namespace}"
            continue
        found.urls[name] = url + PATHS.get(name, "")
        forwarded += [name] if is_forwarded else []
    if receiver := _receiver(api, namespace, forwards):
        found.urls["alert_receiver"] = receiver
    return Addresses(found.urls, tuple(forwarded), found.unreached)


def scraped_jobs(prometheus_url: str, namespace: str) -> tuple[str, ...]:
    """Jobs of the targets of a namespace that a Prometheus scrapes; none where it does not answer."""
    try:
        with httpx.Client(trust_env=False, timeout=ASK_BOUND_S) as client:
            answer = client.get(f"{prometheus_url}/api/v1/targets", params={"state": "active"}).json()
        targets = answer["data"]["activeTargets"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ()
    own = (one["labels"] for one in targets if one["labels"].get("namespace", namespace) == namespace)
    return tuple(sorted({str(one["job"]) for one in own}))


class _Node:
    """A node's address, and whether this machine gets there: found out once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._address: str | None = None
        self._is_far = False

    def url(self, port: int) -> str | None:
        """The URL of a port of the node; None where nobody answers there."""
        if self._is_far:
            return None
        self._address = self._address or node_address(self._api)
        until = time.monotonic() + REFUSED_BOUND_S
        while time.monotonic() < until:
            try:
                socket.create_connection((self._address, port), timeout=CONNECT_BOUND_S).close()
            except ConnectionRefusedError:
                time.sleep(0.2)
            except OSError:
                self._is_far = True
                return None
            else:
                return f"http://{self._address}:{port}"
        return None


def _reached(
    api: Api, namespace: str, part: _Part, node: _Node, forwards: Forwards
) -> tuple[str | None, bool]:
    """The URL, and whether it is a forward."""
    found = _ports(api, namespace, part)
    for _, port in found:
        if (at := port.get("nodePort")) and (url := node.url(int(at))):
            return url, False
    for service, port in found[-1:]:
        return forwards.to(namespace, service, str(port["port"])), True
    return _operated(api, part, forwards)


def _ports(api: Api, namespace: str, part: _Part) -> list[tuple[str, Document]]:
    found = []
    for service, names in part.services:
        there = api.get("v1", "Service", service, namespace)
        ports = [one for one in there["spec"]["ports"] if one.get("name") in names] if there else []
        found += [(service, ports[0])] if ports else []
    if not found and part.component is not None:  # of a stack that was not made of our manifests
        labels = f"app.kubernetes.io/component={part.component}"
        for there in api.all("v1", "Service", namespace, labels=labels):
            named = [one for one in there["spec"]["ports"] if one.get("name") in part.services[-1][1]]
            found += [(there["metadata"]["name"], one) for one in named[:1]]
    return found


def _receiver(api: Api, namespace: str, forwards: Forwards) -> str | None:
    """Where the alerts that were sent are kept: on loopback of Alertmanager's own Pod."""
    found = api.get("apps/v1", "Deployment", ALERTMANAGER, namespace)
    containers = found["spec"]["template"]["spec"]["containers"] if found else ()
    if not any(one["name"] == "receiver" for one in containers):
        return None
    try:
        return forwards.to(namespace, f"deployment/{ALERTMANAGER}", RECEIVER_PORT) + "/alerts"
    except SloError:
        return None


def _operated(api: Api, part: _Part, forwards: Forwards) -> tuple[str | None, bool]:
    """What an operator of the cluster made stands in a namespace of its own: it is asked, and left alone."""
    if part.operated is None:
        return None, False
    try:
        there = api.all("v1", "Service", labels=part.operated)
    except StackError:  # a context without the right to look beyond its namespace
        return None, False
    for one in there:
        ports = [
            port
            for port in one["spec"]["ports"]
            if port.get("name") in ("http-web", "web", "service", "http")
        ]
        if ports:
            place = one["metadata"]
            return forwards.to(place["namespace"], place["name"], str(ports[0]["port"])), True
    return None, False

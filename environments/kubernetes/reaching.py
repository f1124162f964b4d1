"""The way in: where a client of this machine, and one in a Pod, reaches a stack in a cluster."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from environments.kubernetes.api import Api, Document
from environments.kubernetes.forwarding import Forwards
from environments.profile import ClusterProfile
from environments.provider import Say, StackNotReady

ADDRESS_BOUND_S = 300.0  # a load balancer of a cloud takes minutes
RESOLVE_BOUND_S = 300.0  # and its name a little longer
POLL_EVERY_S = 0.5
NETWORKING, GATEWAYS = "networking.k8s.io/v1", "gateway.networking.k8s.io/v1"
USUAL = {"http": 80, "https": 443}
NO_LOAD = (
    "the way in is kubectl port-forward: every byte goes through the API server, which would be measured in "
    "the stack's place"
)


@dataclass(frozen=True, slots=True)
class Door:
    """An address that was given to a way in, before anybody goes through it."""

    scheme: str
    address: str  # an IP address or a name
    port: int

    def url(self, host: str | None = None) -> str:
        name = host or self.address
        name = f"[{name}]" if ":" in name else name
        return f"{self.scheme}://{name}" + ("" if self.port == USUAL[self.scheme] else f":{self.port}")


@dataclass(frozen=True, slots=True)
class WayIn:
    """Where clients come in. A Pod of the cluster may need another address than this machine."""

    base_url: str
    pods_url: str  # of the same door, for load from Pods
    no_load: str | None = None  # why no load from here may go through it


def door(api: Api, namespace: str, cluster: ClusterProfile, say: Say) -> Door | None:
    """The address that the cluster gives the way in, waited for within a bound; None of a forward."""
    if cluster.way_in == "forward":
        return None
    if cluster.way_in == "node-port":
        scheme = "https" if cluster.port == "https" else "http"
        return Door(scheme, node_address(api), node_port(api, namespace, cluster.service, cluster.port))
    ask = {"load-balancer": _balancer, "ingress": _ingress, "gateway": _gateway}[cluster.way_in]
    return _waited(lambda: ask(api, namespace, cluster), cluster, namespace, api, say)


def way_in(
    api: Api, namespace: str, cluster: ClusterProfile, found: Door | None, forwards: Forwards, say: Say
) -> WayIn:
    """The URLs of a door. StackNotReady where a name of it does not resolve here."""
    if found is None:
        scheme = "https" if cluster.port == "https" else "http"
        url = forwards.to(namespace, cluster.service, cluster.port).replace("http", scheme, 1)
        return WayIn(url, _inside(api, namespace, cluster), NO_LOAD)
    if cluster.way_in == "node-port":
        return WayIn(found.url(), _inside(api, namespace, cluster))
    name = cluster.host or found.address
    _require_resolved(name, found, is_host=cluster.host is not None, say=say)
    return WayIn(found.url(name), found.url(name))


def node_port(api: Api, namespace: str, service: str, port: str) -> int:
    """The port of every node that leads to a Service. StackNotReady where it has none."""
    found = api.get("v1", "Service", service, namespace)
    for one in found["spec"]["ports"] if found else ():
        if one.get("name") == port and one.get("nodePort"):
            return int(one["nodePort"])
    raise StackNotReady(
        f"the Service {service} has no port {port} on the nodes",
        expected="type NodePort",
        seen=str(found["spec"]) if found else "no such Service",
    )


def node_address(api: Api) -> str:
    """An address of a node that is ready; StackNotReady where there is none."""
    nodes = api.all("v1", "Node")
    for node in sorted(nodes, key=lambda one: not _is_ready(one)):
        addresses = {one["type"]: str(one["address"]) for one in node["status"].get("addresses", ())}
        if "InternalIP" in addresses:
            return addresses["InternalIP"]
    raise StackNotReady("no node of this cluster has an address", seen=f"{len(nodes)} nodes")


def _is_ready(node: Document) -> bool:
    conditions = node["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _inside(api: Api, namespace: str, cluster: ClusterProfile) -> str:
    """The Service's name in the cluster's DNS, with the port that it listens on there."""
    found = api.get("v1", "Service", cluster.service, namespace)
    ports = {one.get("name"): int(one["port"]) for one in found["spec"]["ports"]} if found else {}
    scheme = "https" if cluster.port == "https" else "http"
    return Door(scheme, f"{cluster.service}.{namespace}.svc", ports.get(cluster.port, USUAL[scheme])).url()


def _balancer(api: Api, namespace: str, cluster: ClusterProfile) -> tuple[Door | None, str]:
    """A door, or what was seen in its place."""
    found = api.get("v1", "Service", cluster.service, namespace)
    if found is None:
        return None, f"no Service {cluster.service}"
    address = _first(found)
    port = next((one["port"] for one in found["spec"]["ports"] if one.get("name") == cluster.port), None)
    if address is None or port is None:
        return None, f"Service {cluster.service}: type {found['spec'].get('type')}, {found.get('status')}"
    return Door("https" if cluster.port == "https" else "http", address, int(port)), ""


def _ingress(api: Api, namespace: str, _: ClusterProfile) -> tuple[Door | None, str]:
    for one in api.all(NETWORKING, "Ingress", namespace):
        if address := _first(one):
            scheme = "https" if one["spec"].get("tls") else "http"
            return Door(scheme, address, USUAL[scheme]), ""
    return None, "no Ingress has an address in its status: no controller has taken it up"


def _gateway(api: Api, namespace: str, _: ClusterProfile) -> tuple[Door | None, str]:
    seen = "no Gateway"
    for one in api.all(GATEWAYS, "Gateway", namespace):
        listeners = sorted(one["spec"]["listeners"], key=lambda it: it["protocol"] != "HTTPS")
        scheme = "https" if listeners[0]["protocol"] == "HTTPS" else "http"
        for address in one.get("status", {}).get("addresses", ()):
            return Door(scheme, str(address["value"]), int(listeners[0]["port"])), ""
        told = one.get("status", {}).get("conditions", ())
        seen = f"Gateway {one['metadata']['name']}: {'; '.join(it.get('message', '') for it in told)}"
    return None, seen


def _first(document: Document) -> str | None:
    for one in document.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
        if found := one.get("ip") or one.get("hostname"):
            return str(found)
    return None


def _waited(
    ask: Callable[[], tuple[Door | None, str]], cluster: ClusterProfile, namespace: str, api: Api, say: Say
) -> Door:
    until, said = time.monotonic() + ADDRESS_BOUND_S, False
    while True:
        found, seen = ask()
        if found is not None:
            say(f"way in: {found.url()}")
            return found
        if time.monotonic() > until:
            raise StackNotReady(
                f"the way in ({cluster.way_in}) got no address",
                expected=f"one within {ADDRESS_BOUND_S:g} s",
                seen=seen,
                hint=f"kubectl --context {api.context} -n {namespace} get ingress,gateway,service",
            )
        if not said:
            say(f"waiting for the address of the way in ({cluster.way_in})")
            said = True
        time.sleep(POLL_EVERY_S)


def _require_resolved(name: str, found: Door, *, is_host: bool, say: Say) -> None:
    """A name that DNS will know soon is waited for; one of our own choosing has to be known by now."""
    until = time.monotonic() + (0.0 if is_host else RESOLVE_BOUND_S)
    while not _resolves(name):
        if time.monotonic() > until:
            line = f"{found.address} {name}"
            raise StackNotReady(
                f"{name} does not resolve on this machine",
                expected=f"the address of the way in, {found.address}",
                hint=f"echo '{line}' | sudo tee -a /etc/hosts"
                if is_host and is_address(found.address)
                else f"a DNS entry for {name} that leads to {found.address}",
            )
        say(f"waiting for the name {name}")
        time.sleep(5.0)


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
    except OSError:
        return False


def is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False

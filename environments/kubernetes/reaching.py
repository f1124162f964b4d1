"""The way in: where a client of this machine, and one in a Pod, reaches a stack in a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from environments.kubernetes.api import Api
from environments.profile import ClusterProfile
from environments.provider import StackNotReady


@dataclass(frozen=True, slots=True)
class WayIn:
    """Where clients come in. A Pod of the cluster may need another address than this machine."""

    base_url: str
    pods_url: str  # of the same door, for load from Pods
    names: tuple[str, ...]  # that a certificate has to be good for


def way_in(api: Api, namespace: str, cluster: ClusterProfile) -> WayIn:
    """The address of the profile's way in. StackNotReady where it gets none within a bound."""
    if cluster.way_in == "node-port":
        return _node_port(api, namespace, cluster)
    raise StackNotReady(f"the way in {cluster.way_in} is not built yet")


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
    for node in api.all("v1", "Node"):
        for one in node["status"].get("addresses", ()):
            if one["type"] == "InternalIP":
                return str(one["address"])
    raise StackNotReady("no node of this cluster has an address")


def _node_port(api: Api, namespace: str, cluster: ClusterProfile) -> WayIn:
    number, address = node_port(api, namespace, cluster.service, cluster.port), node_address(api)
    scheme = "https" if cluster.port == "https" else "http"
    url = f"{scheme}://{address}:{number}"
    return WayIn(url, url, (address,))

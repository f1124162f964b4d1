"""Network: what a set of NetworkPolicies lets through, by the rules of networking.k8s.io/v1.

A Pod that no policy of a direction selects is open in that direction; one that some select takes what any of
them allows. A connection needs the leave of both its ends. Source: the reference of NetworkPolicySpec.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAME_LABEL = "kubernetes.io/metadata.name"  # Kubernetes puts it on every namespace, since 1.21


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection: a Pod, or with an address only, something outside."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_pod(self) -> bool:
        return bool(self.namespace)


def allowed(
    policies: Sequence[Mapping[str, Any]], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether `source` may open a connection to `port` of `target`."""
    leaves = not source.is_pod or _lets(policies, "Egress", source, target, target, port, protocol)
    return leaves and (
        not target.is_pod or _lets(policies, "Ingress", target, source, target, port, protocol)
    )


def _lets(
    policies: Sequence[Mapping[str, Any]],
    direction: str,
    pod: Peer,
    other: Peer,
    target: Peer,
    port: int,
    protocol: str,
) -> bool:
    """Whether the policies of `pod` let it talk with `other` in this direction."""
    chosen = [one for one in policies if _is_chosen(one, direction, pod)]
    if not chosen:
        return True
    rules = [rule for one in chosen for rule in one["spec"].get(direction.lower(), [])]
    end = "to" if direction == "Egress" else "from"
    return any(
        _port_matches(rule.get("ports"), target, port, protocol)
        and (not rule.get(end) or any(_peer_matches(peer, other, pod.namespace) for peer in rule[end]))
        for rule in rules
    )


def _is_chosen(policy: Mapping[str, Any], direction: str, pod: Peer) -> bool:
    spec = policy["spec"]
    return (
        direction in spec["policyTypes"]
        and policy["metadata"]["namespace"] == pod.namespace
        and _selects(spec["podSelector"], pod.labels)
    )


def _port_matches(ports: Sequence[Mapping[str, Any]] | None, target: Peer, port: int, protocol: str) -> bool:
    if not ports:
        return True
    return any(
        one.get("protocol", "TCP") == protocol and target.ports.get(one["port"], one["port"]) == port
        for one in ports
    )


def _peer_matches(peer: Mapping[str, Any], other: Peer, own_namespace: str) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        inside = bool(other.address) and _holds(block["cidr"], other.address)
        return inside and not any(_holds(cidr, other.address) for cidr in block.get("except", []))
    if not other.is_pod:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], {NAME_LABEL: other.namespace}):
            return False
    elif other.namespace != own_namespace:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)


def _holds(cidr: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "matchExpressions are not worked out here"
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())

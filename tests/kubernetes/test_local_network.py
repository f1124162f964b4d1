"""Who may talk to whom in the overlay of this machine: worked out for every pair, as in test_network."""

from __future__ import annotations

import pytest

from tests.kubernetes.network import Peer, allowed
from tests.kubernetes.rendering import Workload, of_kind, workloads

PLACE = "overlays/local"
ENGINE, GATEWAY, NGINX, REDIS = "vllm-engine", "vllm-gateway", "vllm-ingress", "vllm-redis"
PROMETHEUS, ALERTMANAGER = "vllm-prometheus", "vllm-alertmanager"
# Those of controllers, whose components are applied there too.
OPERATORS = "prometheus of an operator"
CONTROLLERS = {"ingress controller", "edge"}


def everybody() -> dict[str, Peer]:
    """Our Pods as they are rendered, and those around them."""
    ours = {
        one.name: Peer(one.name, one.namespace, one.labels, "10.0.0.1", _ports(one))
        for one in workloads(PLACE)
    }
    around = [
        Peer(OPERATORS, "monitoring", {"app.kubernetes.io/name": "prometheus"}),
        Peer("a stranger that calls itself prometheus", "default", {"app.kubernetes.io/name": PROMETHEUS}),
        Peer("a stranger that calls itself the gateway", "default", {"app.kubernetes.io/name": GATEWAY}),
        Peer("a stranger that calls itself the way in", "default", {"app.kubernetes.io/name": NGINX}),
        Peer("a neighbour", "vllm", {"app.kubernetes.io/name": "notebook"}),
        Peer("ingress controller", "ingress-nginx",
             {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}),
        Peer("edge", "vllm", {"gateway.networking.k8s.io/gateway-name": "vllm"}),
        Peer("DNS", "kube-system", {"k8s-app": "kube-dns"}),
        Peer("the internet", address="203.0.113.7"),
        Peer("the API server", address="10.96.0.1"),
    ]  # fmt: skip
    return {**ours, **{one.name: one for one in around}}


def _ports(one: Workload) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for part in one.containers for port in part.get("ports", [])}


def who_reaches(target: str, port: int) -> set[str]:
    """Names of all who may open a connection to this port."""
    found, policies = everybody(), of_kind(PLACE, "NetworkPolicy")
    return {
        name for name, one in found.items() if name != target and allowed(policies, one, found[target], port)
    }


def reached_by(source: str) -> set[tuple[str, int]]:
    """What this Pod may open a connection to, of all that listens."""
    found, policies = everybody(), of_kind(PLACE, "NetworkPolicy")
    doors = {(name, port) for name, one in found.items() for port in one.ports.values()}
    doors |= {(name, port) for name in ("the internet", "the API server") for port in (80, 443, 6443)}
    return {
        (name, port)
        for name, port in doors
        if name != source and allowed(policies, found[source], found[name], port)
    }


def test_who_comes_to_each_door() -> None:
    assert who_reaches(ENGINE, 8000) == {GATEWAY, PROMETHEUS, OPERATORS}
    assert who_reaches(GATEWAY, 8080) == {NGINX, *CONTROLLERS}
    assert who_reaches(GATEWAY, 9180) == {PROMETHEUS, OPERATORS}
    assert who_reaches(REDIS, 6379) == {GATEWAY}
    assert who_reaches(ALERTMANAGER, 9093) == {PROMETHEUS}
    assert who_reaches(PROMETHEUS, 9090) == set()


def test_the_receiver_of_alerts_is_nobodys_but_its_pods() -> None:
    assert who_reaches(ALERTMANAGER, 9094) == set()


def test_the_way_in_is_everybodys_that_may_leave_where_he_is() -> None:
    kept_in = {
        ENGINE,
        GATEWAY,
        REDIS,
        PROMETHEUS,
        ALERTMANAGER,
        "a neighbour",
    }  # nothing leaves the namespace
    everyone = set(everybody()) - {NGINX}
    for port in (8443, 8080):
        assert who_reaches(NGINX, port) == everyone - kept_in - {"edge"}


@pytest.mark.parametrize(
    ("source", "doors"),
    [
        (NGINX, {(GATEWAY, 8080)}),
        (REDIS, set()),
        (ALERTMANAGER, set()),
        (PROMETHEUS, {(ENGINE, 8000), (GATEWAY, 9180), (ALERTMANAGER, 9093)}),
        (GATEWAY, {(ENGINE, 8000), (REDIS, 6379)}),
        (ENGINE, {("the internet", 443)}),
    ],
)
def test_where_each_goes(source: str, doors: set[tuple[str, int]]) -> None:
    assert reached_by(source) == doors


@pytest.mark.parametrize("source", [NGINX, REDIS, PROMETHEUS, ALERTMANAGER, GATEWAY, ENGINE])
def test_all_ask_for_names(source: str) -> None:
    found, policies = everybody(), of_kind(PLACE, "NetworkPolicy")
    assert allowed(policies, found[source], found["DNS"], 53, "UDP")

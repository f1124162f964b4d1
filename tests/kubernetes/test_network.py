"""Who may talk to whom: the rendered NetworkPolicies, worked out for every pair that matters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.network import Peer, allowed
from tests.kubernetes.rendering import OVERLAYS, of_kind, workloads

GATEWAY = "vllm-gateway"
ENGINE = "vllm-engine"
WAYS_IN = {"minikube": "ingress controller", "kubeadm": "ingress controller", "eks": "edge"}


def pods(overlay: str) -> dict[str, Peer]:
    """Our own Pods as they are rendered, and those around them by the labels that their makers give them."""
    ours = {
        one.name: Peer(one.name, one.namespace, one.labels, "10.0.0.1", _ports(one.containers))
        for one in workloads(f"overlays/{overlay}")
    }
    around = [
        Peer("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
        Peer("grafana", "monitoring", {"app.kubernetes.io/name": "grafana"}),
        Peer("a stranger that calls itself prometheus", "default", {"app.kubernetes.io/name": "prometheus"}),
        Peer("a stranger that calls itself the gateway", "default", {"app.kubernetes.io/name": GATEWAY}),
        Peer("a neighbour", "vllm", {"app.kubernetes.io/name": "notebook"}),
        Peer(
            "ingress controller",
            "ingress-nginx",
            {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"},
        ),
        Peer("admission job", "ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"}),
        Peer("edge", "vllm", {"gateway.networking.k8s.io/gateway-name": "vllm"}, ports={}),
        Peer("DNS", "kube-system", {"k8s-app": "kube-dns"}),
        Peer("the internet", address="203.0.113.7"),
        Peer("the instance's credentials", address="169.254.169.254"),
        Peer("the agent of Pod Identity", address="169.254.170.23"),
    ]
    return {**ours, **{one.name: one for one in around}}


def _ports(containers: list[dict[str, Any]]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for one in containers for port in one.get("ports", [])}


def who_reaches(overlay: str, target: str, port: int) -> set[str]:
    """Names of all who may open a connection to this port."""
    everybody, policies = pods(overlay), of_kind(f"overlays/{overlay}", "NetworkPolicy")
    return {
        name
        for name, one in everybody.items()
        if name != target and allowed(policies, one, everybody[target], port)
    }


def who_is_let_in(overlay: str, target: str, port: int) -> set[str]:
    """The same by the target's own policies alone, as if nobody were kept from leaving."""
    everybody = pods(overlay)
    policies = [
        {**one, "spec": {**one["spec"], "policyTypes": ["Ingress"]}}
        for one in of_kind(f"overlays/{overlay}", "NetworkPolicy")
        if "Ingress" in one["spec"]["policyTypes"]
    ]
    return {
        name
        for name, one in everybody.items()
        if name != target and allowed(policies, one, everybody[target], port)
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
class TestWhoReaches:
    def test_the_engine_the_gateways_and_prometheus_alone(self, overlay: str) -> None:
        assert who_reaches(overlay, ENGINE, 8000) == {GATEWAY, "prometheus"}
        assert who_is_let_in(overlay, ENGINE, 8000) == {GATEWAY, "prometheus"}

    def test_the_gateway_the_way_in_alone(self, overlay: str) -> None:
        assert who_reaches(overlay, GATEWAY, 8080) == {WAYS_IN[overlay]}
        assert who_is_let_in(overlay, GATEWAY, 8080) == {WAYS_IN[overlay]}

    def test_the_gateways_metrics_prometheus_alone(self, overlay: str) -> None:
        assert who_reaches(overlay, GATEWAY, 9180) == {"prometheus"}

    @pytest.mark.parametrize("port", [22, 443, 8001, 9090])
    def test_any_other_port_nobody(self, overlay: str, port: int) -> None:
        assert who_reaches(overlay, ENGINE, port) == who_reaches(overlay, GATEWAY, port) == set()


@pytest.mark.parametrize("overlay", OVERLAYS)
class TestWhoGoesOut:
    def goes(self, overlay: str, source: str, target: str, port: int, protocol: str = "TCP") -> bool:
        everybody, policies = pods(overlay), of_kind(f"overlays/{overlay}", "NetworkPolicy")
        return allowed(policies, everybody[source], everybody[target], port, protocol)

    @pytest.mark.parametrize("source", [ENGINE, GATEWAY])
    @pytest.mark.parametrize("protocol", ["UDP", "TCP"])
    def test_all_ask_for_names(self, overlay: str, source: str, protocol: str) -> None:
        assert self.goes(overlay, source, "DNS", 53, protocol)

    def test_the_engine_fetches_weights_and_nothing_without_tls(self, overlay: str) -> None:
        assert self.goes(overlay, ENGINE, "the internet", 443)
        assert not self.goes(overlay, ENGINE, "the internet", 80)

    @pytest.mark.parametrize("address", ["10.96.0.1", "10.20.0.5", "172.20.0.1", "192.168.3.4", "100.64.1.2"])
    def test_no_pod_goes_to_the_api_server_or_another_private_address(
        self, overlay: str, address: str
    ) -> None:
        everybody, policies = pods(overlay), of_kind(f"overlays/{overlay}", "NetworkPolicy")
        private = Peer("an API server, a node, a neighbour", address=address)
        for source in (ENGINE, GATEWAY):
            assert not any(allowed(policies, everybody[source], private, port) for port in (80, 443, 6443))

    def test_no_pod_asks_for_the_instances_credentials(self, overlay: str) -> None:
        for source in (ENGINE, GATEWAY):
            for port in (80, 443):
                assert not self.goes(overlay, source, "the instance's credentials", port)

    def test_pod_identity_is_asked_on_eks_alone(self, overlay: str) -> None:
        assert self.goes(overlay, ENGINE, "the agent of Pod Identity", 80) == (overlay == "eks")

    def test_the_gateway_goes_nowhere_else(self, overlay: str) -> None:
        assert not self.goes(overlay, GATEWAY, "the internet", 443)
        assert not self.goes(overlay, GATEWAY, "prometheus", 9090)
        assert not self.goes(overlay, ENGINE, GATEWAY, 8080)


def test_the_way_in_of_eks_is_open_to_all_and_hears_its_controller() -> None:
    everybody, policies = pods("eks"), of_kind("overlays/eks", "NetworkPolicy")
    controller = Peer("controller", "nginx-gateway", {})
    assert allowed(policies, everybody["the internet"], everybody["edge"], 443)
    assert allowed(policies, everybody["edge"], controller, 8443)
    assert not allowed(policies, everybody["edge"], everybody[ENGINE], 8000)


def test_the_gpu_exporter_is_scraped_by_prometheus_alone() -> None:
    policies = of_kind("cluster/dcgm-exporter", "NetworkPolicy")
    (daemon,) = workloads("cluster/dcgm-exporter")
    exporter = Peer(daemon.name, daemon.namespace, daemon.labels, "", _ports(daemon.containers))
    reaching = {name for name, one in pods("eks").items() if allowed(policies, one, exporter, 9400)}
    assert reaching == {"prometheus"}


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "a"}, "spec": {"podSelector": {}, **spec}}


class TestTheEvaluator:
    """By hand, from the reference: it must not let through more than a CNI does, nor less."""

    web, other = Peer("web", "a", {"x": "1"}, ports={"http": 80}), Peer("other", "b", {"x": "1"})

    def test_without_a_policy_all_is_open(self) -> None:
        assert allowed([], self.other, self.web, 80)

    def test_a_policy_without_rules_shuts_its_direction_only(self) -> None:
        shut = [policy(policyTypes=["Ingress"])]
        assert not allowed(shut, self.other, self.web, 80)
        assert allowed(shut, self.web, self.other, 80)

    def test_a_policy_of_another_namespace_says_nothing(self) -> None:
        elsewhere = policy(policyTypes=["Ingress"])
        elsewhere["metadata"]["namespace"] = "b"
        assert allowed([elsewhere], self.other, self.web, 80)

    def test_a_pod_selector_alone_means_the_own_namespace(self) -> None:
        rule = {"from": [{"podSelector": {"matchLabels": {"x": "1"}}}]}
        assert not allowed([policy(policyTypes=["Ingress"], ingress=[rule])], self.other, self.web, 80)

    def test_both_selectors_of_one_peer_must_hold_and_of_two_peers_one(self) -> None:
        namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}}
        pod = {"podSelector": {"matchLabels": {"x": "2"}}}
        together = policy(policyTypes=["Ingress"], ingress=[{"from": [{**namespace, **pod}]}])
        apart = policy(policyTypes=["Ingress"], ingress=[{"from": [namespace, pod]}])
        assert not allowed([together], self.other, self.web, 80)
        assert allowed([apart], self.other, self.web, 80)

    def test_policies_add_up(self) -> None:
        open_80 = policy(policyTypes=["Ingress"], ingress=[{"ports": [{"port": "http"}]}])
        assert allowed([policy(policyTypes=["Ingress"]), open_80], self.other, self.web, 80)
        assert not allowed([policy(policyTypes=["Ingress"]), open_80], self.other, self.web, 81)

    def test_an_excepted_network_stays_shut(self) -> None:
        block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}
        out = [policy(policyTypes=["Egress"], egress=[{"to": [block]}])]
        assert allowed(out, self.web, Peer("out", address="203.0.113.7"), 443)
        assert not allowed(out, self.web, Peer("metadata", address="169.254.169.254"), 80)

"""The way in: certificates, the Ingress of ingress-nginx, and the same limits said in the Gateway API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.kubernetes.nginx_annotations import KNOWN
from tests.kubernetes.rendering import KUBERNETES, OVERLAYS, Document, named, of_kind, rendered

ENVIRONMENTS = yaml.safe_load((KUBERNETES / "environments.yaml").read_text())
ANNOTATION = "nginx.ingress.kubernetes.io/"

overlays = pytest.mark.parametrize("overlay", OVERLAYS)
behind_ingress = pytest.mark.parametrize("overlay", ["minikube", "kubeadm"])


@overlays
class TestCertificates:
    def test_the_name_that_clients_use_is_on_a_certificate(self, overlay: str) -> None:
        place, host = f"overlays/{overlay}", ENVIRONMENTS[overlay]["host"]
        leaf = named(place, "Certificate", "vllm-gateway")["spec"]
        assert leaf["dnsNames"] == [host]
        ends = [*ingress_ends(place), *gateway_ends(place)]
        assert ends == [(host, leaf["secretName"])]

    def test_issuers_lead_up_to_one_that_needs_none(self, overlay: str) -> None:
        place = f"overlays/{overlay}"
        issuer = issuer_of(place, named(place, "Certificate", "vllm-gateway"))
        if "ca" in issuer["spec"]:
            secret = issuer["spec"]["ca"]["secretName"]
            (authority,) = [
                one for one in of_kind(place, "Certificate") if one["spec"]["secretName"] == secret
            ]
            assert authority["spec"]["isCA"] is True
            issuer = issuer_of(place, authority)
        assert set(issuer["spec"]) & {"selfSigned", "acme"}
        assert len(of_kind(place, "Issuer")) == (1 if overlay == "eks" else 2)


def issuer_of(place: str, certificate: Document) -> Document:
    return named(place, "Issuer", certificate["spec"]["issuerRef"]["name"])


def ingress_ends(place: str) -> Iterator[tuple[str, str]]:
    """(host, Secret) of each TLS entry; every rule's host has one."""
    for ingress in of_kind(place, "Ingress"):
        entries = ingress["spec"]["tls"]
        assert {rule["host"] for rule in ingress["spec"]["rules"]} == {
            h for entry in entries for h in entry["hosts"]
        }
        yield from ((host, entry["secretName"]) for entry in entries for host in entry["hosts"])


def gateway_ends(place: str) -> Iterator[tuple[str, str]]:
    """(host, Secret) of each listener with TLS."""
    for gateway in of_kind(place, "Gateway"):
        for listener in gateway["spec"]["listeners"]:
            for reference in listener.get("tls", {}).get("certificateRefs", []):
                yield listener["hostname"], reference["name"]


@behind_ingress
class TestIngress:
    def test_every_annotation_is_one_that_the_controller_knows(self, overlay: str) -> None:
        for ingress in of_kind(f"overlays/{overlay}", "Ingress"):
            names = {name.removeprefix(ANNOTATION) for name in ingress["metadata"]["annotations"]}
            assert names <= KNOWN
            assert not any("snippet" in name for name in names), "refused by the controller's defaults"

    def test_an_annotation_for_cert_manager_would_need_the_tls_section(self, overlay: str) -> None:
        for ingress in of_kind(f"overlays/{overlay}", "Ingress"):
            asked = [
                name for name in ingress["metadata"]["annotations"] if name.startswith("cert-manager.io/")
            ]
            assert not asked or ingress["spec"]["tls"]
            assert ingress["spec"]["tls"]

    def test_its_limits_are_the_places(self, overlay: str) -> None:
        ingress = named(f"overlays/{overlay}", "Ingress", "vllm-gateway")
        said = {
            name.removeprefix(ANNOTATION): value for name, value in ingress["metadata"]["annotations"].items()
        }
        limiter = ENVIRONMENTS[overlay]["limiter"]
        rate = int(said["limit-rps"])
        assert f"{rate}/second" == limiter["rate"]
        assert rate * int(said["limit-burst-multiplier"]) == limiter["burst"]
        controller = named("cluster/ingress-nginx", "ConfigMap", "ingress-nginx-controller")["data"]
        assert int(controller["limit-req-status-code"]) == limiter["reject_code"]

    def test_streams_pass_unbuffered_and_may_wait_for_their_first_token(self, overlay: str) -> None:
        annotations = named(f"overlays/{overlay}", "Ingress", "vllm-gateway")["metadata"]["annotations"]
        assert annotations[f"{ANNOTATION}proxy-buffering"] == "off"
        assert int(annotations[f"{ANNOTATION}proxy-read-timeout"]) >= 600
        assert all(isinstance(value, str) for value in annotations.values())

    def test_its_backend_is_the_gateways_named_port(self, overlay: str) -> None:
        place = f"overlays/{overlay}"
        (rule,) = named(place, "Ingress", "vllm-gateway")["spec"]["rules"]
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = named(place, "Service", backend["name"])["spec"]["ports"]
            assert backend["port"]["name"] in [port["name"] for port in ports]


class TestGatewayApi:
    place = "overlays/eks"

    def test_routes_hang_on_a_listener_and_lead_to_a_port(self) -> None:
        listeners = {one["name"]: one for one in named(self.place, "Gateway", "vllm")["spec"]["listeners"]}
        for route in of_kind(self.place, "HTTPRoute"):
            (parent,) = route["spec"]["parentRefs"]
            assert listeners[parent["sectionName"]]["hostname"] in route["spec"]["hostnames"]
            for backend in (one for rule in route["spec"]["rules"] for one in rule.get("backendRefs", [])):
                ports = named(self.place, "Service", backend["name"])["spec"]["ports"]
                assert backend["port"] in [port["port"] for port in ports]

    def test_the_balancer_of_eks_leaves_clients_their_addresses(self) -> None:
        """The limiter counts by them, and a Classic Load Balancer puts its own in their place."""
        made = named(self.place, "Gateway", "vllm")["spec"]["infrastructure"]["annotations"]
        assert made["service.beta.kubernetes.io/aws-load-balancer-type"] == "nlb"

    def test_plain_http_redirects_and_does_nothing_else(self) -> None:
        (rule,) = named(self.place, "HTTPRoute", "vllm-redirect")["spec"]["rules"]
        assert "backendRefs" not in rule
        assert rule["filters"] == [
            {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}
        ]

    def test_every_policy_is_on_the_route_to_the_gateway(self) -> None:
        kinds = ("RateLimitPolicy", "ProxySettingsPolicy", "ClientSettingsPolicy")
        for policy in (one for kind in kinds for one in of_kind(self.place, kind)):
            spec = policy["spec"]
            for target in spec.get("targetRefs", [spec.get("targetRef")]):
                named(self.place, target["kind"], target["name"])
                assert target["name"] == "vllm-gateway"

    def test_its_limits_are_the_places_and_those_of_the_ingress(self) -> None:
        limiter = ENVIRONMENTS["eks"]["limiter"]
        (rule,) = named(self.place, "RateLimitPolicy", "vllm-gateway")["spec"]["rateLimit"]["local"]["rules"]
        assert rule["rate"].replace("r/s", "/second") == limiter["rate"]
        assert (rule["burst"], rule["rejectCode"]) == (limiter["burst"], limiter["reject_code"])
        settings = named(self.place, "ProxySettingsPolicy", "vllm-gateway")["spec"]
        ingress = named("overlays/minikube", "Ingress", "vllm-gateway")["metadata"]["annotations"]
        assert settings["buffering"] == {"disable": True}
        assert settings["timeout"]["read"] == ingress[f"{ANNOTATION}proxy-read-timeout"] + "s"
        body = named(self.place, "ClientSettingsPolicy", "vllm-gateway")["spec"]["body"]
        assert body["maxSize"] == ingress[f"{ANNOTATION}proxy-body-size"]


def test_the_environments_say_which_way_in_they_render() -> None:
    for overlay in OVERLAYS:
        kinds = {one["kind"] for one in rendered(f"overlays/{overlay}")}
        way_in = {"ingress-nginx": "Ingress", "gateway-api": "Gateway"}[ENVIRONMENTS[overlay]["way_in"]]
        assert kinds & {"Ingress", "Gateway"} == {way_in}

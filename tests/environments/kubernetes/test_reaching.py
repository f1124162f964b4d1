"""Ways in: the address that a cluster gives each kind, and what is said where there is none."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.kubernetes.api import Api
from environments.kubernetes.forwarding import Forwards
from environments.kubernetes.reaching import Door, WayIn, door, node_address, way_in
from environments.profile import ClusterProfile
from environments.provider import StackNotReady
from tests.environments.kubernetes.keeping_api import Kept, kept_cluster

SPACE = "vllm-slo-run"
CORE = f"/api/v1/namespaces/{SPACE}/services"
READY = [{"type": "Ready", "status": "True"}]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Kept, Api]]:
    with kept_cluster(tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADDRESS_BOUND_S", "RESOLVE_BOUND_S"):
        monkeypatch.setattr(f"environments.kubernetes.reaching.{name}", 0.3)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names that this machine resolves."""
    known: set[str] = set()
    truly = socket.getaddrinfo

    def resolve(name: str, *more: Any, **others: Any) -> list[Any]:
        if name == "127.0.0.1":  # the API server
            return list(truly(name, *more, **others))
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["an address"]

    monkeypatch.setattr("environments.kubernetes.reaching.socket.getaddrinfo", resolve)
    return known


def entered(api: Api, **profile: Any) -> WayIn:
    cluster = ClusterProfile(Path("overlay"), **profile)
    found = door(api, SPACE, cluster, lambda _: None)
    forwards = Forwards("kept", Path("nowhere"), lambda _: None)  # none is asked of it
    return way_in(api, SPACE, cluster, found, forwards, lambda _: None)


def service(kept: Kept, at: str, *, status: dict[str, Any] | None = None, **port: Any) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"name": "metrics", "port": 9180}, port]}
    kept.put(f"{CORE}/{at}", spec=spec, status=status or {})


def test_a_node_port_is_at_a_ready_node_and_inside_at_the_service(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    for name, address, conditions in (("a", "10.0.0.1", []), ("b", "10.0.0.2", READY)):
        addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
        kept.put(f"/api/v1/nodes/{name}", status={"addresses": addresses, "conditions": conditions})
    service(kept, "vllm-ingress", name="https", port=8443, nodePort=30103)
    assert node_address(api) == "10.0.0.2"
    found = entered(api, way_in="node-port", service="vllm-ingress", port="https")
    assert found.base_url == "https://10.0.0.2:30103"
    assert found.pods_url == f"https://vllm-ingress.{SPACE}.svc:8443"
    with pytest.raises(StackNotReady, match="has no port http on the nodes"):
        entered(api, way_in="node-port", service="vllm-ingress", port="http")


@pytest.mark.parametrize(
    ("given", "port", "expected"),
    [
        ({"ip": "203.0.113.7"}, 80, "http://203.0.113.7"),
        ({"ip": "2001:db8::7"}, 8080, "http://[2001:db8::7]:8080"),
        ({"hostname": "a.elb.example"}, 80, "http://a.elb.example"),
        ({"hostname": "a.elb.example", "ip": "203.0.113.7"}, 8080, "http://203.0.113.7:8080"),
    ],
)
def test_a_load_balancer_is_at_the_address_in_its_status(
    cluster: tuple[Kept, Api], names: set[str], given: dict[str, str], port: int, expected: str
) -> None:
    kept, api = cluster
    names.update(given.values())
    service(kept, "vllm-gateway", status={"loadBalancer": {"ingress": [given]}}, name="http", port=port)
    found = entered(api, way_in="load-balancer", service="vllm-gateway")
    assert (found.base_url, found.pods_url, found.no_load) == (expected, expected, None)


def test_a_balancer_without_an_address_is_waited_for_within_a_bound(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    service(kept, "vllm-gateway", status={"loadBalancer": {}}, name="http", port=80)
    with pytest.raises(StackNotReady, match=r"the way in \(load-balancer\) got no address") as error:
        entered(api, way_in="load-balancer", service="vllm-gateway")
    assert "type LoadBalancer" in (error.value.seen or "")
    assert f"-n {SPACE} get ingress,gateway,service" in (error.value.hint or "")


def ingress(kept: Kept, *addresses: dict[str, str], tls: bool = True) -> None:
    path = f"/apis/networking.k8s.io/v1/namespaces/{SPACE}/ingresses/vllm"
    kept.put(path, spec={"tls": [{}] if tls else []}, status={"loadBalancer": {"ingress": list(addresses)}})


def test_an_ingress_is_reached_by_its_name_where_that_resolves(
    cluster: tuple[Kept, Api], names: set[str]
) -> None:
    kept, api = cluster
    ingress(kept, {"ip": "192.0.2.49"})
    with pytest.raises(StackNotReady, match=r"llm\.local does not resolve on this machine") as error:
        entered(api, way_in="ingress", host="llm.local")
    assert error.value.hint == "echo '192.0.2.49 llm.local' | sudo tee -a /etc/hosts"
    names.add("llm.local")
    assert entered(api, way_in="ingress", host="llm.local").base_url == "https://llm.local"
    ingress(kept, {"ip": "192.0.2.49"}, tls=False)
    assert entered(api, way_in="ingress", host="llm.local").base_url == "http://llm.local"


def test_behind_a_balancer_with_a_name_a_dns_entry_is_asked_for(
    cluster: tuple[Kept, Api], names: set[str]
) -> None:
    kept, api = cluster
    ingress(kept, {"hostname": "a.elb.example"})
    with pytest.raises(StackNotReady) as error:
        entered(api, way_in="ingress", host="llm.example.com")
    assert error.value.hint == "a DNS entry for llm.example.com that leads to a.elb.example"
    assert names == set()


def test_an_ingress_that_no_controller_takes_up_says_so(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    ingress(kept)
    with pytest.raises(StackNotReady) as error:
        entered(api, way_in="ingress", host="llm.local")
    assert "no controller has taken it up" in (error.value.seen or "")


def test_a_gateway_is_at_its_https_listener(cluster: tuple[Kept, Api], names: set[str]) -> None:
    kept, api = cluster
    listeners = [{"protocol": "HTTP", "port": 80}, {"protocol": "HTTPS", "port": 8443}]
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{SPACE}/gateways/vllm"
    told = [{"message": "Waiting for controller"}]
    kept.put(path, spec={"listeners": listeners}, status={"conditions": told})
    with pytest.raises(StackNotReady) as error:
        entered(api, way_in="gateway")
    assert error.value.seen == "Gateway vllm: Waiting for controller"
    kept.put(
        path,
        spec={"listeners": listeners},
        status={"addresses": [{"type": "Hostname", "value": "a.elb.example"}]},
    )
    names.add("a.elb.example")
    assert entered(api, way_in="gateway").base_url == "https://a.elb.example:8443"


def test_a_url_leaves_the_usual_port_out() -> None:
    assert Door("https", "h", 443).url() == "https://h"
    assert Door("http", "h", 443).url() == "http://h:443"
    assert Door("https", "192.0.2.1", 8443).url("llm.local") == "https://llm.local:8443"

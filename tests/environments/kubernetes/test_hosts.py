"""A run's host stands wherever a client could use a name, and nothing else of the objects is changed."""

from __future__ import annotations

import copy

import pytest

from environments.kubernetes.hosts import for_host, hosts_of, without_public_authority
from environments.kubernetes.raising import raised
from tests.kubernetes.rendering import OVERLAYS, Document, command, rendered

pytestmark = pytest.mark.skipif(command() is None, reason="no kustomize: `make setup PARTS=kubernetes`")
PUBLISHED = "vllm.example.com"


def text(documents: list[Document]) -> str:
    return repr(documents)


@pytest.mark.parametrize("place", OVERLAYS)
def test_the_host_is_replaced_wherever_it_stands(place: str) -> None:
    before = list(rendered(f"overlays/{place}"))
    kept = copy.deepcopy(before)
    after = for_host(before, "llm.local")
    assert hosts_of(before) == {PUBLISHED}
    assert hosts_of(after) == {"llm.local"}
    assert before == kept
    # All that has changed is the name: put back, they are equal, and no other kind had it.
    changed = [one for one, two in zip(before, after, strict=True) if one != two]
    assert text(changed).replace(PUBLISHED, "llm.local") == text(
        [two for one, two in zip(before, after, strict=True) if one != two]
    )
    ways = {"Ingress", "Certificate"} if place != "eks" else {"Gateway", "HTTPRoute", "Certificate"}
    assert {one["kind"] for one in changed} == ways
    assert PUBLISHED not in text([one for one in after if one["kind"] not in ("ConfigMap", "PrometheusRule")])


def test_a_run_asks_no_public_authority() -> None:
    kept, left_out = without_public_authority(rendered("overlays/eks"))
    assert set(left_out) == {"Issuer vllm-issuer", "Certificate vllm-gateway"}
    assert not any("acme" in one["spec"] for one in kept if one["kind"] == "Issuer")
    assert len(kept) == len(rendered("overlays/eks")) - 2


@pytest.mark.parametrize("place", ["minikube", "kubeadm"])
def test_an_authority_of_the_place_itself_stays(place: str) -> None:
    kept, left_out = without_public_authority(rendered(f"overlays/{place}"))
    assert (kept, left_out) == (list(rendered(f"overlays/{place}")), {})


def test_a_certificate_of_another_issuer_stays() -> None:
    documents: list[Document] = [
        {"kind": "Issuer", "metadata": {"name": "public"}, "spec": {"acme": {}}},
        {"kind": "Issuer", "metadata": {"name": "own"}, "spec": {"ca": {}}},
        {"kind": "Certificate", "metadata": {"name": "a"}, "spec": {"issuerRef": {"name": "public"}}},
        {"kind": "Certificate", "metadata": {"name": "b"}, "spec": {"issuerRef": {"name": "own"}}},
    ]
    kept, left_out = without_public_authority(documents)
    assert [one["metadata"]["name"] for one in kept] == ["own", "b"]
    assert set(left_out) == {"Issuer public", "Certificate a"}


def test_the_way_in_admits_a_runs_load() -> None:
    """10 a second and 50 at once become 2,000 and as many, at both ways in; 120 a minute is 2 a second."""
    before = copy.deepcopy(rendered("overlays/minikube"))
    (ingress,) = [one for one in raised(before, "2000/second") if one["kind"] == "Ingress"]
    notes = ingress["metadata"]["annotations"]
    assert notes["nginx.ingress.kubernetes.io/limit-rps"] == "2000"
    assert notes["nginx.ingress.kubernetes.io/limit-burst-multiplier"] == "1"
    (policy,) = [
        one for one in raised(rendered("overlays/eks"), "120/minute") if one["kind"] == "RateLimitPolicy"
    ]
    (rule,) = policy["spec"]["rateLimit"]["local"]["rules"]
    assert (rule["rate"], rule["burst"], rule["rejectCode"]) == ("2r/s", 2, 429)
    assert before == rendered("overlays/minikube")

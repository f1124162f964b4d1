"""Applying: what goes over, in which order, and what an error may say of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from environments.kubernetes.api import Api, ApiError
from environments.kubernetes.applying import Applied, Place, apply
from environments.kubernetes.forwarding import Forwards
from environments.kubernetes.rendering import Rendered
from environments.kubernetes.secrets import (
    CERTIFICATE,
    hidden,
    make_keys,
    signed_authority,
    signs_itself,
    token_secrets,
)
from environments.profile import ClusterProfile, Profile
from environments.provider import Secret, StackNotReady
from instruments.errors import ConfigurationError
from tests.environments.kubernetes.keeping_api import Kept, kept_cluster

SPACE = "vllm-slo-run"
SECRETS = f"/api/v1/namespaces/{SPACE}/secrets"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
ENGINE: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "vllm-engine", "namespace": SPACE, "generation": 1},
    "spec": {"replicas": 1},
    "status": {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "availableReplicas": 1,
    },
}
DOOR = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "vllm-gateway", "namespace": SPACE},
    "spec": {"ports": [{"name": "http", "port": 8080, "nodePort": 30080}]},
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Kept, Api]]:
    monkeypatch.setattr("environments.kubernetes.rollout.HOPELESS_AFTER_S", 0.5)
    with kept_cluster(tmp_path) as (kept, api):
        kept.put("/api/v1/nodes/n", status={"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]})
        yield kept, api


def applied(api: Api, folder: Path, *objects: dict[str, Any], **profile: Any) -> Applied:
    place = Profile(
        "cluster",
        "d",
        "kubernetes",
        cluster=ClusterProfile(Path("o"), **{"way_in": "node-port", "ready_timeout_s": 3.0, **profile}),
    )
    forwards = Forwards("kept", folder, lambda _: None)
    where = Place(api, SPACE, folder, forwards, lambda _: None)
    return apply(where, place, Rendered(objects, {}))


def test_secrets_go_first_and_the_rest_in_its_order(cluster: tuple[Kept, Api], tmp_path: Path) -> None:
    kept, api = cluster
    found = applied(api, tmp_path, DOOR, ENGINE)
    assert [path.partition(f"{SPACE}/")[2] for path in kept.calls("PATCH")] == [
        "secrets/vllm-engine-key",
        "secrets/vllm-gateway-keys",
        "secrets/vllm-gateway-tls",
        "services/vllm-gateway",
        "deployments/vllm-engine",
    ]
    assert found.way_in.base_url == "http://192.0.2.1:30080"
    assert found.way_in.pods_url == f"http://vllm-gateway.{SPACE}.svc:8080"
    assert found.authority is None, "plain HTTP asks for no trust"


def test_the_certificate_is_good_for_every_name_that_clients_use(
    cluster: tuple[Kept, Api], tmp_path: Path
) -> None:
    kept, api = cluster
    applied(api, tmp_path, DOOR, ENGINE, host="llm.local")
    chain = base64.b64decode(kept.objects[f"{SECRETS}/{CERTIFICATE}"]["data"]["tls.crt"])
    names = x509.load_pem_x509_certificate(chain).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert set(names.value.get_values_for_type(x509.DNSName)) == {
        "llm.local", "localhost", "vllm-gateway", f"vllm-gateway.{SPACE}", f"vllm-gateway.{SPACE}.svc",
    }  # fmt: skip
    found = {str(one) for one in names.value.get_values_for_type(x509.IPAddress)}
    assert found == {"127.0.0.1", "192.0.2.1"}


def test_where_the_cluster_signs_none_of_ours_goes_over(cluster: tuple[Kept, Api], tmp_path: Path) -> None:
    kept, api = cluster
    leaf = {"kind": "Certificate", "spec": {"secretName": CERTIFICATE}}
    assert signs_itself([DOOR, leaf])
    assert not signs_itself([DOOR, {**leaf, "spec": {"secretName": "another"}}])
    kept.put(f"{SECRETS}/{CERTIFICATE}", data={"ca.crt": base64.b64encode(b"of the leaf").decode()})
    kept.put(f"{SECRETS}/vllm-ca", data={"ca.crt": base64.b64encode(b"the authority").decode()})
    path = signed_authority(api, SPACE, tmp_path / "ca.pem")
    assert path is not None
    assert path.read_bytes() == b"the authority"
    del kept.objects[f"{SECRETS}/vllm-ca"]
    kept.objects[f"{SECRETS}/{CERTIFICATE}"]["data"] = {}
    assert signed_authority(api, SPACE, tmp_path / "ca.pem") is None, "a public authority: the system's"


def test_of_a_secret_that_is_refused_nothing_of_it_is_said(cluster: tuple[Kept, Api], tmp_path: Path) -> None:
    """An API server repeats what it was sent: "Invalid value: …"."""
    kept, api = cluster
    kept.refused[f"PATCH {SECRETS}/vllm-engine-key"] = (422, "Invalid value: c2stZW5naW5lLXNlY3JldA==")
    with pytest.raises(ApiError) as error:
        applied(api, tmp_path, DOOR, ENGINE)
    assert str(error.value).splitlines() == [
        f"the API server refused PATCH {SECRETS}/vllm-engine-key",
        "  seen:     HTTP 422: Invalid",
    ]
    for _, body in kept.bodies:
        for value in (body.get("data") or {}).values():
            assert value not in str(error.value)


def test_of_any_other_object_the_servers_words_are_passed_on(
    cluster: tuple[Kept, Api], tmp_path: Path
) -> None:
    kept, api = cluster
    path = f"/apis/apps/v1/namespaces/{SPACE}/deployments/vllm-engine"
    kept.refused[f"PATCH {path}"] = (422, "spec.replicas: must be non-negative")
    with pytest.raises(ApiError, match=f"refused PATCH {path}") as error:
        applied(api, tmp_path, DOOR, ENGINE)
    assert error.value.seen == "HTTP 422: spec.replicas: must be non-negative"
    assert error.value.status == 422


def test_a_kind_that_the_server_does_not_know_is_said(cluster: tuple[Kept, Api], tmp_path: Path) -> None:
    odd = {"apiVersion": "example.com/v1", "kind": "Odd", "metadata": {"name": "o", "namespace": SPACE}}
    with pytest.raises(ApiError, match=r"this cluster does not know example\.com/v1 Odd"):
        applied(cluster[1], tmp_path, odd)


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("state", "restarts", "expected"),
    [
        (waiting("ErrImagePull", "no such image"), 0, "ErrImagePull: no such image"),
        (waiting("CrashLoopBackOff", "back-off 10s"), 2, "CrashLoopBackOff: back-off 10s"),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), 0, 'secret "x" not found'),
        ({"running": {}}, 3, "container engine of e-1 was restarted 3 ×"),
    ],
)
def test_a_pod_without_hope_ends_the_wait_before_its_bound_with_evidence(
    cluster: tuple[Kept, Api], tmp_path: Path, state: dict[str, Any], restarts: int, expected: str
) -> None:
    kept, api = cluster
    unready = {**ENGINE, "status": {**ENGINE["status"], "availableReplicas": 0}}
    status = {"name": "engine", "state": state, "restartCount": restarts, "ready": False}
    kept.put(f"{PODS}/e-1", status={"phase": "Pending", "containerStatuses": [status]}, spec={})
    kept.logs["e-1/engine"] = kept.logs["e-1/engine/previous"] = "its last words"
    event = {"type": "Warning", "reason": "Failed", "message": "why", "involvedObject": {"name": "e-1"}}
    kept.put(f"/api/v1/namespaces/{SPACE}/events/e", **event)
    with pytest.raises(StackNotReady, match="vllm-engine did not roll out: container engine of e-1") as error:
        applied(api, tmp_path, DOOR, unready, ready_timeout_s=60.0)
    told = str(error.value)
    assert expected in told
    assert "0 of 1 Pods ready" in told
    assert "event Failed on e-1: why" in told
    assert ("its last words" in told) == bool(restarts)


def test_what_programs_wrote_is_told_without_the_keys(cluster: tuple[Kept, Api], tmp_path: Path) -> None:
    kept, api = cluster
    unready = {**ENGINE, "status": {**ENGINE["status"], "availableReplicas": 0}}
    told = {"name": "engine", "state": {"running": {}}, "restartCount": 0, "ready": False}
    kept.put(f"{PODS}/e-1", status={"phase": "Running", "containerStatuses": [told]}, spec={})

    class Careless(dict[str, str]):
        """A program that prints its key, which nobody knows before it is made."""

        def get(self, place: str, default: Any = None) -> Any:
            del place, default
            data = kept.objects[f"{SECRETS}/vllm-engine-key"]["data"]["api-key"]
            return "started with " + base64.b64decode(data).decode()

    kept.logs = Careless()
    with pytest.raises(StackNotReady) as error:
        applied(api, tmp_path, DOOR, unready, ready_timeout_s=0.5)
    assert "started with (a key of this run)" in str(error.value)
    assert "sk-engine" not in str(error.value)


def test_a_token_comes_from_the_environment_and_is_named_by_its_variable_alone(
    cluster: tuple[Kept, Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, api = cluster
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match=r"\$HF_TOKEN is not set"):
        token_secrets(SPACE, {"huggingface": "HF_TOKEN"})
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    found = applied(api, tmp_path, DOOR, ENGINE, secrets={"huggingface": "HF_TOKEN"})
    assert base64.b64decode(kept.objects[f"{SECRETS}/huggingface"]["data"]["token"]) == b"hf_of_somebody"
    assert "hf_of_somebody" not in repr(found)
    assert hidden("token=hf_of_somebody", found.tokens) == "token=(a key of this run)"


def test_keys_are_of_one_run_alone_and_show_themselves_to_nobody() -> None:
    first, second = make_keys(), make_keys()
    assert set(first) == {"suite", "second", "limited", "engine"}
    assert len({one.reveal() for one in (*first.values(), *second.values())}) == 8
    assert repr(first["suite"]) == repr(Secret("x")) == "Secret(…)"

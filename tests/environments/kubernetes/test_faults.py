"""Faults in a cluster: each does what it says to this namespace alone, and is undone whatever happens."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from environments.kubernetes.api import Api, ApiError
from environments.kubernetes.faults import ClusterFaults, quantity_bytes
from environments.kubernetes.handle import ClusterHandle
from environments.kubernetes.nodes import (
    CORDONED_NOTE,
    cordoned,
    drained,
    left_cordons,
    uncordon,
    uncordon_left,
    why_not_ours,
)
from environments.kubernetes.ownership import Owner
from environments.provider import StackError
from tests.environments.kubernetes.object_store import SPACE, Store, stored

DEPLOYMENT = f"/apis/apps/v1/namespaces/{SPACE}/deployments/vllm-gateway"
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{SPACE}/networkpolicies"
COMPONENT = {"app.kubernetes.io/component": "gateway"}


class Broke(Exception):
    """What a claim in the middle of a fault fails with."""


@pytest.fixture
def server() -> Iterator[tuple[Store, Api]]:
    with stored() as found:
        yield found


@pytest.fixture
def faults(server: tuple[Store, Api]) -> ClusterFaults:
    store, api = server
    container = {"name": "gateway", "image": "gateway:1", "readinessProbe": {"httpGet": {"path": "/ready"}}}
    template = {"spec": {"containers": [container]}}
    store.put("/apis/apps/v1", "deployments", "vllm-gateway", spec={"replicas": 2, "template": template})
    store.pod("vllm-gateway-a")
    store.pod("vllm-gateway-b")
    store.pod("vllm-engine-a", "engine", node="two")
    applied = {"kind": "Deployment", "metadata": {"name": "vllm-gateway", "labels": COMPONENT}}
    return ClusterFaults(ClusterHandle(api, SPACE, "stored", (applied,), owned=True))


def test_what_is_somebody_elses_is_not_broken(server: tuple[Store, Api]) -> None:
    with pytest.raises(StackError, match="somebody else's"):
        ClusterFaults(ClusterHandle(server[1], SPACE, "stored", (), owned=False))


@pytest.mark.parametrize("kind", ["unpullable", "too_little_memory", "switched"])
def test_a_workload_is_put_back_to_the_letter(
    faults: ClusterFaults, server: tuple[Store, Api], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess[str]([], 0, "Python 3", "")
    monkeypatch.setattr(ClusterHandle, "run_inside", lambda *_: done)  # there is no node
    store, _ = server
    before = copy.deepcopy(store.objects[DEPLOYMENT])
    more: dict[str, tuple[Any, ...]] = {"unpullable": (10,), "too_little_memory": (24,)}
    during = []

    def claim() -> None:
        with getattr(faults, kind)("gateway", *more.get(kind, ())):
            during.append(copy.deepcopy(store.objects[DEPLOYMENT]))
            raise Broke

    with pytest.raises(Broke):
        claim()
    assert during != [before]
    assert store.objects[DEPLOYMENT] == before


def test_an_image_that_there_is_not_has_its_deadline(
    faults: ClusterFaults, server: tuple[Store, Api]
) -> None:
    with faults.unpullable("gateway", 10):
        spec = server[0].objects[DEPLOYMENT]["spec"]
        assert spec["progressDeadlineSeconds"] == 10
        assert spec["template"]["spec"]["containers"][0]["image"].partition("/")[0].endswith(".invalid")


def test_a_change_of_which_no_answer_came_is_put_back_too(
    faults: ClusterFaults, server: tuple[Store, Api]
) -> None:
    store, _ = server
    before = copy.deepcopy(store.objects[DEPLOYMENT])
    patched: list[Any] = []
    true_call = Api.call

    def lost(self: Api, method: str, path: str, **more: Any) -> Any:
        found = true_call(self, method, path, **more)
        if method == "PATCH" and not patched:
            patched.append(found)
            raise ApiError("no answer", 0, "the connection was cut")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Api, "call", lost)
        with pytest.raises(ApiError), faults.unpullable("gateway", 10):
            pytest.fail("it was never in force, as far as anybody knows")
    assert store.objects[DEPLOYMENT] == before


def test_policies_that_let_somebody_are_shut_and_opened_again(
    faults: ClusterFaults, server: tuple[Store, Api]
) -> None:
    store, _ = server
    engine = {"matchLabels": {"app.kubernetes.io/component": "engine"}}
    gateway = {"matchLabels": COMPONENT}
    store.put(
        "/apis/networking.k8s.io/v1",
        "networkpolicies",
        "engine",
        spec={"podSelector": engine, "ingress": [{"from": []}]},
    )
    store.put(
        "/apis/networking.k8s.io/v1",
        "networkpolicies",
        "gateway",
        spec={"podSelector": gateway, "ingress": [{}]},
    )
    before = copy.deepcopy(store.objects)
    with faults.cut("engine"):
        assert store.objects[f"{POLICIES}/engine"]["spec"]["ingress"] == []
        assert store.objects[f"{POLICIES}/gateway"]["spec"]["ingress"] == [{}], (
            "it has nothing to do with engines"
        )
        (cut,) = [one for path, one in store.objects.items() if path not in before]
        assert cut["spec"]["ingress"] == []
        assert cut["spec"]["podSelector"] == engine
    assert store.objects == before


def test_a_cordoned_node_says_whose_doing_it_is(server: tuple[Store, Api]) -> None:
    store, api = server
    node = store.node("one")
    with cordoned(api, "one"):
        assert node["spec"]["unschedulable"] is True
        assert json.loads(node["metadata"]["annotations"][CORDONED_NOTE])["pid"] == os.getpid()
        assert left_cordons(api) == {}, "its owner lives"
    assert node["spec"] == {}
    assert node["metadata"]["annotations"] == {}


def test_a_cordon_of_somebody_gone_is_undone_and_no_other(server: tuple[Store, Api]) -> None:
    store, api = server
    here = Owner.here(60)
    gone = Owner(here.machine, here.pid, "at another time", here.until).note()
    store.node("left", unschedulable=True)["metadata"]["annotations"] = {CORDONED_NOTE: gone}
    store.node("ours", unschedulable=True)["metadata"]["annotations"] = {CORDONED_NOTE: here.note()}
    store.node("admins", unschedulable=True)
    said: list[str] = []
    assert uncordon_left(api, said.append) == ["left"]
    uncordon(api, "admins", here.note())  # nobody of ours cordoned it
    nodes = {name: store.objects[f"/api/v1/nodes/{name}"]["spec"] for name in ("left", "ours", "admins")}
    assert nodes == {"left": {}, "ours": {"unschedulable": True}, "admins": {"unschedulable": True}}
    assert f"its process {here.pid} is gone" in said[0]


def test_a_node_that_somebody_else_cordoned_meanwhile_stays_so(server: tuple[Store, Api]) -> None:
    store, api = server
    store.node("one", unschedulable=True)
    with pytest.raises(StackError, match="somebody else has cordoned it"), cordoned(api, "one"):
        pytest.fail("it was taken")
    assert store.objects["/api/v1/nodes/one"]["spec"] == {"unschedulable": True}
    theirs = Owner("elsewhere", 1, "1", "2999-01-01T00:00:00+00:00").note()
    node = store.node("two")
    with cordoned(api, "two"):  # two at once: the other's note came later
        node["metadata"]["annotations"][CORDONED_NOTE] = theirs
    assert node["spec"] == {"unschedulable": True}


def test_a_drain_takes_this_namespaces_pods_alone(faults: ClusterFaults, server: tuple[Store, Api]) -> None:
    store, api = server
    store.node("one")
    store.node("two")
    store.pod("somebody-elses", space="elsewhere")
    store.pod("of-every-node", "agent", ownerReferences=[{"kind": "DaemonSet"}])
    store.held["vllm-gateway-b"] = 1  # the budget lets it go at the second asking
    with drained(api, "one", SPACE, bound_s=30.0) as found:
        assert set(found.evicted) == {"vllm-gateway-a", "vllm-gateway-b"}
        assert (found.held, found.refusals) == ({}, 1)
    assert {one["apiVersion"] for one in store.evictions} == {"policy/v1beta1"}, "the version that is served"
    left = {path.rpartition("/")[2] for path in store.objects if "/pods/" in path}
    assert left == {"somebody-elses", "of-every-node", "vllm-engine-a"}
    assert store.objects["/api/v1/nodes/one"]["spec"] == {}


def test_a_drain_leaves_what_a_budget_holds(faults: ClusterFaults, server: tuple[Store, Api]) -> None:
    store, api = server
    store.node("one")
    store.held["vllm-gateway-b"] = 1000
    with drained(api, "one", SPACE, bound_s=0.0) as found:
        assert found.evicted == ("vllm-gateway-a",)
        assert "disruption budget" in found.held["vllm-gateway-b"]
    assert f"/api/v1/namespaces/{SPACE}/pods/vllm-gateway-b" in store.objects


def test_a_node_that_others_need_is_not_cordoned(server: tuple[Store, Api]) -> None:
    store, api = server
    store.node("one")
    store.pod("dns", space="kube-system")
    store.pod("mine")
    assert why_not_ours(api, "one", SPACE) is None
    store.pod("theirs", space="elsewhere")
    assert "others use it too: elsewhere" in str(why_not_ours(api, "one", SPACE))
    store.node("two")
    assert why_not_ours(api, "one", SPACE) is None, "another node takes Pods"
    store.objects["/api/v1/nodes/one"]["spec"]["unschedulable"] = True
    assert "cordoned already" in str(why_not_ours(api, "one", SPACE))


def test_a_container_without_a_limit_is_not_filled(faults: ClusterFaults, server: tuple[Store, Api]) -> None:
    pod = server[0].objects[f"/api/v1/namespaces/{SPACE}/pods/vllm-gateway-a"]
    pod["spec"]["containers"][0]["resources"] = {}
    with pytest.raises(StackError, match="no limit of memory"):
        faults.exhaust_memory("gateway")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("256Mi", 268435456), ("1Gi", 1073741824), ("1.5Ki", 1536), ("2G", 2000000000), ("1000", 1000)],
)
def test_amounts_of_memory_are_read(text: str, expected: int) -> None:
    assert quantity_bytes(text) == expected

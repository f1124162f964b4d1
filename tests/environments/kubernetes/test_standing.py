"""A run's namespace, from its making to its end: whatever happens in between, and whoever else is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from environments.kubernetes.api import Api
from environments.kubernetes.load_objects import LoadPlan
from environments.kubernetes.load_pods import load_pods
from environments.kubernetes.ownership import OWNER_NOTE, Owner, owner_of
from environments.kubernetes.reaping import left_namespaces
from environments.kubernetes.standing import namespace_of, own_namespace
from environments.provider import StackError, StackNotReady
from tests.environments.kubernetes.keeping_api import CONTEXT, Kept, kept_cluster

NAME = "vllm-slo-run"
PATH = f"/api/v1/namespaces/{NAME}"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Kept, Api]]:
    with kept_cluster(tmp_path) as found:
        yield found


@pytest.fixture
def owner() -> Owner:
    return Owner.here(600.0)


def test_it_is_made_with_its_owner_and_gone_afterwards(cluster: tuple[Kept, Api], owner: Owner) -> None:
    kept, api = cluster
    with own_namespace(api, NAME, "run", owner, lambda _: None) as name:
        assert name == NAME
        assert owner_of(kept.objects[PATH]) == owner
        assert kept.objects[PATH]["metadata"]["labels"]["vllm-slo.io/run"] == "run"
    assert kept.names("namespaces") == []


@pytest.mark.parametrize("raised", [StackNotReady("x"), KeyboardInterrupt(), ValueError("a mistake")])
def test_it_is_gone_whatever_ends_the_block_and_the_error_stays_what_it_was(
    cluster: tuple[Kept, Api], owner: Owner, raised: BaseException
) -> None:
    kept, api = cluster
    with (
        pytest.raises(type(raised)) as error,
        own_namespace(api, NAME, "run", owner, lambda _: None),
    ):
        raise raised
    assert error.value is raised
    assert kept.names("namespaces") == []


def test_one_that_is_there_already_is_neither_taken_nor_removed(
    cluster: tuple[Kept, Api], owner: Owner
) -> None:
    kept, api = cluster
    kept.put(PATH)
    with (
        pytest.raises(StackNotReady, match=f"the namespace {NAME} is there already") as error,
        own_namespace(api, NAME, "run", owner, lambda _: None),
    ):
        pytest.fail("it was entered")
    assert f"--namespace {NAME}" in (error.value.hint or "")
    assert kept.names("namespaces") == [NAME]
    assert kept.calls("DELETE") == []


def test_nor_is_one_of_the_name_that_load_pods_would_have(
    cluster: tuple[Kept, Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, api = cluster
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/kubectl")
    plan = LoadPlan("run", 1, "image", 100, 60.0)
    kept.put(f"/api/v1/namespaces/{plan.namespace}")
    with pytest.raises(StackNotReady, match="is there already"), load_pods(api, plan, lambda _: None):
        pytest.fail("it was entered")
    assert kept.names("namespaces") == [plan.namespace]
    assert kept.calls("DELETE") == []


def test_one_that_somebody_else_made_meanwhile_is_not_removed(
    cluster: tuple[Kept, Api], owner: Owner
) -> None:
    kept, api = cluster
    with own_namespace(api, NAME, "run", owner, lambda _: None):
        kept.objects[PATH]["metadata"]["annotations"][OWNER_NOTE] = replace(owner, pid=1).note()
    assert kept.names("namespaces") == [NAME]


def test_what_is_kept_says_where_it_is_and_how_it_is_removed(cluster: tuple[Kept, Api], owner: Owner) -> None:
    kept, api = cluster
    said: list[str] = []
    with own_namespace(api, NAME, "run", owner, said.append, keep=True):
        assert kept.objects[PATH]["metadata"]["annotations"]["vllm-slo.io/kept"] == "yes"
        assert left_namespaces(api, kept=True) == [], "the run goes on"
    assert [one.why for one in left_namespaces(api, kept=True)] == ["it was kept"]
    assert left_namespaces(api) == []
    assert kept.names("namespaces") == [NAME]
    text = "\n".join(said)
    assert f"kubectl --context {CONTEXT} -n {NAME} get all" in text
    assert f"python -m environments reap --context {CONTEXT} --kept" in text


def test_a_server_that_is_away_for_a_moment_is_asked_again(cluster: tuple[Kept, Api], owner: Owner) -> None:
    kept, api = cluster
    back = threading.Timer(1.5, lambda: setattr(kept, "is_away", False))
    with own_namespace(api, NAME, "run", owner, lambda _: None):
        kept.is_away = True
        back.start()
    back.join()
    assert kept.names("namespaces") == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_not_well_for_a_moment_is_asked_again(
    cluster: tuple[Kept, Api], owner: Owner, status: int
) -> None:
    kept, api = cluster
    well = threading.Timer(1.5, kept.refused.clear)
    with own_namespace(api, NAME, "run", owner, lambda _: None):
        kept.refused[f"GET {PATH}"] = (status, "etcdserver: leader changed")
        well.start()
    well.join()
    assert kept.names("namespaces") == []


def test_a_server_that_stays_away_costs_a_bound_and_both_things_are_said(
    cluster: tuple[Kept, Api], owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, api = cluster
    monkeypatch.setattr("environments.kubernetes.standing.AWAY_BOUND_S", 1.0)

    def fail() -> None:
        with own_namespace(api, NAME, "run", owner, lambda _: None):
            kept.is_away = True
            raise StackNotReady("the gateway did not roll out", seen="its Pods", hint="look")

    with pytest.raises(StackError, match="the gateway did not roll out") as error:
        fail()
    assert "its Pods" in (error.value.seen or "")
    assert f"the namespace {NAME} may be left in the cluster {CONTEXT}" in (error.value.seen or "")
    assert f"python -m environments reap --context {CONTEXT}" in (error.value.hint or "")


def test_of_a_second_interruption_it_is_said_what_may_be_left(
    cluster: tuple[Kept, Api], owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, api = cluster
    said: list[str] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("environments.kubernetes.standing.remove_namespace", interrupted)
    with pytest.raises(KeyboardInterrupt), own_namespace(api, NAME, "run", owner, said.append):
        raise KeyboardInterrupt
    assert f"the namespace {NAME} may be left" in said[0]
    assert "reap" in said[0]


@pytest.mark.parametrize(
    ("run_id", "expected"),
    [
        ("20261122T044059Z-cluster-08c6", "vllm-slo-20261122t044059z-cluster-08c6"),
        ("20261122T044059Z-my.place_2-08c6", "vllm-slo-20261122t044059z-my-place-2-08c6"),
    ],
)
def test_a_namespace_is_named_after_its_run(run_id: str, expected: str) -> None:
    assert namespace_of(run_id) == expected


def test_long_names_stay_apart_and_fit() -> None:
    names = {namespace_of(f"20261122T044059Z-{'x' * 60}-{end}") for end in ("0001", "0002")}
    assert len(names) == 2
    assert {len(one) for one in names} == {63}

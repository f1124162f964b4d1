"""What load Pods are made of, and what each asks for: by hand, for servers of both kinds."""

from __future__ import annotations

from typing import Any, cast

import pytest

from environments.kubernetes.api import FORBIDDEN, Api, ApiError, Document
from environments.kubernetes.load_objects import LoadPlan, cpu_request_m, jobs, namespace_objects
from environments.kubernetes.ownership import PART_LABEL, RUN_LABEL, owner_of

PLAN = LoadPlan("20261122T041500Z-eks-12ab", 4, "registry/load:1", 1000, 3600.0, {"llm.local": "10.0.0.7"})


class Cluster:
    """Nodes by their cores, and what the Pods on each have asked for."""

    def __init__(
        self, nodes: dict[str, tuple[str, list[str]]], *, cordoned: str = "", hidden: bool = False
    ) -> None:
        self._nodes, self._cordoned, self._hidden = nodes, cordoned, hidden

    def all(self, _version: str, kind: str, namespace: str | None = None, **how: Any) -> list[Document]:
        if kind == "Node":
            return [
                {
                    "metadata": {"name": name},
                    "spec": {"unschedulable": True} if name == self._cordoned else {},
                    "status": {"allocatable": {"cpu": cores}},
                }
                for name, (cores, _) in self._nodes.items()
            ]
        if self._hidden:
            raise ApiError("no", FORBIDDEN, "HTTP 403")
        name = how["fields"].partition(",")[0].removeprefix("spec.nodeName=")
        return [
            {"spec": {"containers": [{"resources": {"requests": {"cpu": asked}}}, {}]}}
            for asked in self._nodes[name][1]
        ]


@pytest.mark.parametrize(
    ("nodes", "options", "count", "asked_m"),
    [
        ({"a": ("8", ["500m"]), "b": ("4", [])}, {}, 11, 1000),  # 7 and 4 whole cores are free
        ({"a": ("8", ["500m"]), "b": ("4", [])}, {}, 12, 100),  # one too many: what is asked is small
        ({"a": ("8", []), "b": ("4", [])}, {"cordoned": "a"}, 5, 100),
        ({"a": ("2", ["1", "800m"])}, {}, 4, 25),  # half of 200m for four
        ({"a": ("2", ["2"])}, {}, 4, 10),
        ({"a": ("1930m", [])}, {}, 1, 1000),
        ({"a": ("2", ["2"])}, {"hidden": True}, 2, 1000),  # who may not see Pods counts on all of it
    ],
)
def test_a_pod_asks_for_a_core_where_there_is_one(
    nodes: dict[str, tuple[str, list[str]]], options: dict[str, Any], count: int, asked_m: int
) -> None:
    assert cpu_request_m(cast(Api, Cluster(nodes, **options)), count) == asked_m


def test_an_indexed_job_is_one_and_the_others_are_as_many() -> None:
    (one,) = jobs(PLAN, indexed=True)
    spec = one["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    several = jobs(PLAN, indexed=False)
    assert len({job["metadata"]["name"] for job in several}) == 4
    assert [(job["spec"]["completions"], "completionMode" in job["spec"]) for job in several] == [
        (1, False)
    ] * 4
    for job in (one, *several):
        assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 3600)


def test_a_load_pod_is_restricted_and_spread() -> None:
    """Every field that the Pod security standard `restricted` asks for, and no token."""
    pod = jobs(PLAN, indexed=True)[0]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert "env" not in container
    assert container["resources"] == {
        "requests": {"cpu": "1000m", "memory": "128Mi"},
        "limits": {"memory": "1024Mi"},
    }
    (spread,) = pod["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["maxSkew"]) == ("kubernetes.io/hostname", 1)
    assert pod["hostAliases"] == [{"ip": "10.0.0.7", "hostnames": ["llm.local"]}]


def test_the_namespace_is_the_runs_own_and_names_its_owner() -> None:
    namespace, policy = namespace_objects(PLAN)
    assert namespace["metadata"]["name"] == PLAN.namespace == "vllm-slo-load-20261122t041500z-eks-12ab"
    assert namespace["metadata"]["labels"][RUN_LABEL] == PLAN.run_id
    assert namespace["metadata"]["labels"][PART_LABEL] == "load"
    assert owner_of(namespace) is not None
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    long = [LoadPlan("x" * 80 + tail, 1, "i", 1, 1.0).namespace for tail in "ab"]
    assert {len(name) <= 63 for name in long} == {True}
    assert long[0] != long[1]

"""Faults in a real cluster: each is suffered, told by both sides and undone; a stack that loses is found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.sessions import Ended, Sessions
from tests.kubernetes.cluster import Kubectl

pytestmark = pytest.mark.kubernetes

ROOT = Path(__file__).parents[2]
FILES = ("test_cluster", "test_cluster_probes", "test_cluster_rollouts", "test_cluster_nodes")
BOUND_S = 540.0
FAULTS = {
    "gateway-deleted",
    "engine-killed",
    "out-of-memory",
    "unready",
    "unwell",
    "gateways-rolled",
    "engine-rolled",
    "no-such-image",
}
UNDISTURBED = {"no-such-image"}  # no Pod that served was away, so none had to come back
# What a cluster may lack, so that a claim is skipped: a node of its own, a network that keeps policies.
MAY_LACK = ("missing capability: node_of_its_own: ", "missing capability: network_policies: ")
GATEWAY = "test_cluster.py::test_a_deleted_gateway_loses_nothing"


def test_every_fault_is_suffered_and_told(
    sessions: Sessions, kubectl: Kubectl, left: Callable[..., list[str]]
) -> None:
    """All claims hold or say why they cannot be made; each fault has its figures; nothing of it stays."""
    files = [f"suites/reliability/{name}.py" for name in FILES]
    ended = sessions(*files, "-m", "not slow", "--env", "cluster", bound_s=BOUND_S)
    claims = ended.run.lines("claims.jsonl")
    failed = {one["nodeid"]: one["detail"][-1500:] for one in claims if one["outcome"] == "failed"}
    assert (ended.code, failed) == (0, {}), ended.output[-3000:]
    assert len([one for one in claims if one["outcome"] == "passed"]) >= 16
    for one in claims:
        assert one["outcome"] == "passed" or one["reason"].startswith(MAY_LACK), one
    for name in FAULTS:
        _require_told(ended, name)
    nodes = kubectl.read("nodes")["items"]
    assert [one["metadata"]["name"] for one in nodes if one["spec"].get("unschedulable")] == []
    assert left(ended.run_id) == []


def _require_told(ended: Ended, name: str) -> None:
    """Both sides' figures of a fault are in the run's folder, as intervals, and on the terminal."""
    told: dict[str, Any] = ended.run.document(f"loads/reliability.cluster-{name}.cluster.json")
    assert told["facts"], name
    assert told["looks"] > 5, name
    if name not in UNDISTURBED:
        low, high = told["well_after_s"]
        behind, ahead = told["nodes_ahead_s"]
        assert 0 <= low < high <= low + 2 + max(0, ahead) - min(0, behind) + 1e-6, name
    assert ended.run.document(f"loads/reliability.cluster-{name}.outage.json")["lost"] >= 0
    assert f"reliability.cluster-{name}: " in ended.output


def test_gateways_without_time_to_end_are_found_out(
    sessions: Sessions, tmp_path: Path, left: Callable[..., list[str]]
) -> None:
    """The claim that a deleted gateway loses nothing fails of gateways that are killed after a second."""
    ended = sessions(f"suites/reliability/{GATEWAY}", "--env", hasty(tmp_path), bound_s=BOUND_S)
    (claim,) = ended.run.lines("claims.jsonl")
    assert (ended.code, claim["outcome"]) == (1, "failed"), ended.output[-3000:]
    assert left(ended.run_id) == []


def hasty(folder: Path) -> Path:
    """A profile like `cluster`, whose gateways get no moment before their stop, and no time for streams."""
    overlay = folder / "hasty"
    overlay.mkdir()
    spec = "/spec/template/spec"
    operations = [
        {"op": "remove", "path": f"{spec}/containers/0/lifecycle"},
        {"op": "replace", "path": f"{spec}/terminationGracePeriodSeconds", "value": 1},
    ]
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(ROOT / "deploy/kubernetes/overlays/local", overlay.resolve())],
        "patches": [
            {"target": {"kind": "Deployment", "name": "vllm-gateway"}, "patch": yaml.safe_dump(operations)}
        ],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(document))
    profile = yaml.safe_load((ROOT / "environments/profiles/cluster.yaml").read_text())
    profile["cluster"]["overlay"] = str(overlay)
    path = folder / "hasty.yaml"
    path.write_text(yaml.safe_dump(profile | {"name": "hasty"}))
    return path

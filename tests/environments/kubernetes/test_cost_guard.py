"""What a run costs is said before anything is created, in sums worked out by hand; above a bound it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from environments.kubernetes.context import connected
from environments.kubernetes.cost_guard import Bill, Parts, announce_cost, bill_of, lines, require_below
from environments.kubernetes.wants import wants_of
from environments.profile import Profile, profile_path, read_profile
from instruments.errors import ConfigurationError
from tests.environments.kubernetes.dictated import Cluster, Document, dictated, gpu_pod, named, node
from tests.kubernetes.rendering import command, rendered

pytestmark = pytest.mark.skipif(command() is None, reason="no kustomize: `make setup PARTS=kubernetes`")
ZONE = "topology.kubernetes.io/zone"
# deploy/cost/prices.yaml: 2 × m7i.large, g5.xlarge, control plane.
THERE = 2 * 0.1008 + 1.006 + 0.10
# 50 GiB of gp3, a balancer with one capacity unit, an address in each of two zones.
CREATED = 50 * 0.08 / 730 + 0.0225 + 0.006 + 2 * 0.005


def eks() -> Cluster:
    """A GPU node and two others, in two zones; class gp3 makes gp3 disks."""
    return Cluster(
        version="v1.35.2-eks-1a2b3c",
        objects={
            "Node": [
                node("a", "m7i.large", labels={ZONE: "us-east-1a"}),
                node("b", "m7i.large", labels={ZONE: "us-east-1b"}),
                node("c", "g5.xlarge", 1, {ZONE: "us-east-1a"}),
            ],
            "StorageClass": [named("gp3", parameters={"type": "gp3"})],
        },
    )


def place(bound: float | None) -> Profile:
    found = read_profile(profile_path("eks"))
    assert found.cluster is not None
    return replace(found, cluster=replace(found.cluster, max_price_per_hour=bound))


def said(
    cluster: Cluster,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    bound: float | None = None,
    objects: tuple[Document, ...] | None = None,
) -> list[str]:
    heard: list[str] = []
    with dictated(cluster, folder, monkeypatch) as context, connected(context) as api:
        announce_cost(api, place(bound), objects or rendered("overlays/eks"), heard.append, 7200.0)
    assert cluster.written == []
    return heard


def test_a_run_on_eks_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = said(eks(), tmp_path, monkeypatch)
    assert heard[0] == "will be created: 3 to 8 Pods, 1 to 2 GPUs, 50 GiB of volumes, 1 load balancer"
    assert heard[1] == (
        f"price: {CREATED:.2f} USD an hour for what this run creates; {THERE:.2f} for what is there anyway "
        "(1 × g5.xlarge, 2 × m7i.large, 1 × eks-control-plane)"
    )
    assert (f"{CREATED:.2f}", f"{THERE:.2f}") == ("0.04", "1.31")
    # (1.3076 + 0.0440) × 2 h
    assert heard[2] == "price: at most 2.70 USD in the time budget of 2 h"
    assert "us-east-1, from memory as of 2025-06-30, not looked up" in heard[3]


def test_nodes_that_may_be_added_are_priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines at most, the one GPU is taken: two more g5.xlarge, 2.012 an hour."""
    growing = eks()
    growing.objects["Deployment"] = [named("cluster-autoscaler")]
    growing.objects["Pod"] = [gpu_pod("training", "c")]
    heard = said(growing, tmp_path, monkeypatch)
    assert "creates, 2.01 for 2 × g5.xlarge that may be added;" in heard[1]
    # (1.3076 + 0.0440 + 2.012) × 2 h
    assert heard[2] == "price: at most 6.73 USD in the time budget of 2 h"


def test_a_gpu_that_is_free_needs_no_further_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = eks()
    growing.objects["Deployment"] = [named("cluster-autoscaler")]
    assert "1.01 for 1 × g5.xlarge that may be added" in said(growing, tmp_path, monkeypatch)[1]


def test_what_has_no_price_is_named_and_in_no_sum() -> None:
    bill = bill_of(Parts({"p5.48xlarge": 2, "m7i.large": 1}, {"io2": 100}, {}))
    assert (bill.there, bill.created, bill.unpriced) == (0.1008, 0, ("p5.48xlarge", "io2"))
    told = list(lines(wants_of([]), Parts({}, {}, {}), bill, None))
    assert "price: UNKNOWN, and in no sum: p5.48xlarge, io2 (deploy/cost/prices.yaml)" in told


def test_a_cluster_of_no_cloud_has_no_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = said(Cluster(objects={"Node": [node("only")]}), tmp_path, monkeypatch)
    assert heard[1:] == ["price: none is known of this cluster"]


def test_above_its_bound_a_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.3516 an hour: 1.36 may be, 1.35 may not."""
    said(eks(), tmp_path, monkeypatch, bound=1.36)
    with pytest.raises(ConfigurationError, match="would cost more than it may") as error:
        said(eks(), tmp_path, monkeypatch, bound=1.35)
    assert error.value.seen is not None
    assert error.value.seen.startswith("1.35 USD")


@pytest.mark.parametrize("bill", [None, Bill(1, 0, 0, ("p5.48xlarge",), "USD", "")])
def test_a_bound_is_not_kept_by_not_knowing(bill: Bill | None) -> None:
    require_below(place(None), bill)
    with pytest.raises(ConfigurationError, match="the price of a run is not known"):
        require_below(place(100.0), bill)

"""What a cluster is said to have is what its API server says, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.kubernetes.capabilities import Capabilities, discover
from environments.kubernetes.context import connected
from environments.kubernetes.gpus import gpus_of, wanted_by
from tests.environments.kubernetes.dictated import Cluster, dictated, gpu_pod, named, node


def found(cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Capabilities:
    with dictated(cluster, folder, monkeypatch) as context, connected(context) as api:
        said = discover(api)
    assert cluster.written == []
    return said


def eks() -> Cluster:
    """Two small nodes and a GPU node, in two zones; a second GPU node that is cordoned."""
    cordoned = node("d", "g5.12xlarge", 4)
    cordoned["spec"]["unschedulable"] = True
    vpc = {"spec": {"template": {"spec": {"containers": [{"args": ["--enable-network-policy=true"]}]}}}}
    zone = "topology.kubernetes.io/zone"
    a10g = {"nvidia.com/gpu.product": "NVIDIA-A10G", "nvidia.com/gpu.present": "true"}
    return Cluster(
        version="v1.35.2-eks-1a2b3c",
        objects={
            "Node": [
                node("a", "m7i.large", labels={zone: "us-east-1a"}),
                node("b", "m7i.large", labels={zone: "us-east-1b"}),
                node("c", "g5.xlarge", 1, a10g),
                cordoned,
            ],
            "Pod": [
                gpu_pod("running", "c"),
                gpu_pod("over", "c", phase="Succeeded"),
                gpu_pod("waiting", ""),
                gpu_pod("elsewhere", "d", 4),
            ],
            "StorageClass": [
                named("gp2"),
                {
                    "metadata": {
                        "name": "gp3",
                        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                    }
                },
            ],
            "IngressClass": [named("nginx")],
            "GatewayClass": [named("nginx")],
            "DaemonSet": [named("aws-node", **vpc)],
            "Service": [named("kube-dns", spec={"clusterIP": "172.20.0.10"})],
            "NodeMetrics": [named("a")],
        },
    )


def test_a_cluster_of_a_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = found(eks(), tmp_path, monkeypatch)
    assert (said.gpus.allocatable, said.gpus.taken, said.gpus.free) == (1, 1, 0)
    assert (said.gpus.offered_by, said.gpus.labelled, said.gpus.machines) == (1, 1, {"g5.xlarge": 1})
    assert said.gpus.products == {"NVIDIA-A10G": 1}
    assert said.instance_types == {"g5.12xlarge": 1, "g5.xlarge": 1, "m7i.large": 2}
    assert (said.nodes, said.zones, said.cloud) == (4, 2, "aws")
    assert (said.storage_classes, said.default_class) == (("gp2", "gp3"), "gp3")
    assert (said.ingress_classes, said.gateway_classes) == (("nginx",), ("nginx",))
    assert (said.enforcer, said.dns, said.adds_nodes) == ("VPC CNI", "172.20.0.10", None)
    assert (said.policy, said.autoscaling) == ("policy/v1", "autoscaling/v2")
    assert all(said.extensions.values())
    assert said.metrics_api
    assert said.notes() == []
    assert said.facts()["cluster.nodes"] == "1 × g5.12xlarge, 1 × g5.xlarge, 2 × m7i.large"
    assert said.facts()["cluster.gpus"] == "1 × NVIDIA-A10G"


def test_a_bare_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Cluster(objects={"Node": [node("only")]})
    bare.served = {
        "v1": bare.served["v1"],
        "apps/v1": bare.served["apps/v1"],
        "policy/v1beta1": bare.served["policy/v1"],
        "autoscaling/v1": bare.served["autoscaling/v2"],
    }
    said = found(bare, tmp_path, monkeypatch)
    assert not any(said.extensions.values())
    assert (said.policy, said.autoscaling) == ("policy/v1beta1", "autoscaling/v1")
    assert (said.gpus.allocatable, said.metrics_api, said.cloud, said.dns) == (0, False, None, None)
    assert said.lines()[0] == "nodes: 1; no nvidia.com/gpu"
    assert "nothing here is known to enforce them" in said.notes()[0]


def test_a_metrics_api_that_nobody_serves_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered = eks()
    registered.objects.pop("NodeMetrics")
    assert not found(registered, tmp_path, monkeypatch).metrics_api


def test_what_may_not_be_listed_is_unknown_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate's role on EKS sees one namespace: a run is told what it does not know, and goes on."""
    limited = eks()
    limited.hidden = {"daemonsets", "pods"}
    said = found(limited, tmp_path, monkeypatch)
    assert (said.hidden, said.enforcer) == (("Pod", "DaemonSet"), None)
    assert said.lines()[-1] == "this context may not list Pod, DaemonSet: unknown"


@pytest.mark.parametrize(
    ("daemon", "enforcer"),
    [
        (named("calico-node"), "Calico"),
        (named("cilium"), "Cilium"),
        (named("kindnet"), None),
        (
            named(
                "aws-node",
                spec={"template": {"spec": {"containers": [{"args": ["--enable-network-policy=false"]}]}}},
            ),
            None,
        ),
    ],
)
def test_who_keeps_network_policies(
    daemon: dict[str, object], enforcer: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(objects={"DaemonSet": [daemon]})
    assert found(cluster, tmp_path, monkeypatch).enforcer == enforcer


def test_who_adds_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled = Cluster(objects={"Deployment": [named("cluster-autoscaler-aws")]})
    assert found(scaled, tmp_path, monkeypatch).adds_nodes == "the Cluster Autoscaler"
    scaled.served = {**scaled.served, "karpenter.sh/v1": {"NodePool": "nodepools"}}
    assert found(scaled, tmp_path, monkeypatch).adds_nodes == "Karpenter"


def test_a_pod_asks_for_its_containers_together_or_its_greediest_start() -> None:
    def gpus(number: int) -> dict[str, object]:
        return {"resources": {"limits": {"nvidia.com/gpu": str(number)}}}

    assert wanted_by({"containers": [gpus(1), gpus(2), {}]}) == 3
    assert wanted_by({"containers": [gpus(1)], "initContainers": [gpus(4), gpus(2)]}) == 4
    assert wanted_by({"containers": [{"resources": None}]}) == 0


def test_a_node_that_is_not_ready_offers_nothing() -> None:
    broken = node("x", "g5.xlarge", 1)
    broken["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    assert gpus_of([broken], [gpu_pod("p", "x")]).free == 0

"""The preflight names everything that a place lacks, each with what to do, and creates nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from environments.kubernetes import machine_checks, preflight
from environments.kubernetes.check import Check, require, table
from environments.kubernetes.context import ClusterOptions
from environments.profile import Profile, profile_path, read_profile
from environments.provider import StackNotReady
from tests.environments.kubernetes.dictated import Cluster, dictated, gpu_pod, named, node, point_to
from tests.kubernetes.rendering import command, rendered

PRESENT = {"nvidia.com/gpu.present": "true"}
DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}
OPTIONS = ClusterOptions(context="dictated")
Change = Callable[[Cluster], None]

pytestmark = pytest.mark.skipif(command() is None, reason="no kustomize: `make setup PARTS=kubernetes`")


def whole() -> Cluster:
    """All that the overlays of minikube, EKS and kubeadm ask for."""
    card = node("gpu", "g5.xlarge", 1, {**PRESENT, "nvidia.com/cuda.driver-version.full": "580.95.05"})
    ours = [f"docker.io/vllm-slo/{name}:0.1.0" for name in ("gateway", "weights")]
    card["status"]["images"] = [{"names": ours}]
    card["status"]["addresses"] = [{"type": "InternalIP", "address": "127.0.0.1"}]
    return Cluster(
        objects={
            "Node": [card],
            "StorageClass": [
                {"metadata": {"name": "standard", "annotations": DEFAULT}},
                named("gp3"),
                named("local-path"),
            ],
            "IngressClass": [named("nginx")],
            "GatewayClass": [named("nginx")],
            "NodeMetrics": [named("gpu")],
        }
    )


def place(name: str) -> Profile:
    """The profile, as of a machine that has its programs, its token and its host."""
    found = read_profile(profile_path(name))
    assert found.cluster is not None
    cluster = replace(
        found.cluster,
        context=None,
        host="localhost" if found.cluster.host else None,
        needs=replace(found.cluster.needs, programs=()),
    )
    return replace(found, cluster=cluster)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kubectl on PATH and nothing else; no kubeconfig; a token. Each overlay is rendered once a session."""
    programs = tmp_path / "bin"
    programs.mkdir()
    kubectl = programs / "kubectl"
    kubectl.write_text("#!/bin/sh\nexit 1\n")
    kubectl.chmod(0o755)
    monkeypatch.setattr(
        machine_checks, "render", lambda overlay, *_: list(rendered(f"overlays/{overlay.name}"))
    )
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf-not-to-be-seen")
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Check]]:
    """Rows by what they are of, for a place and a cluster."""

    def asked(name: str, cluster: Cluster) -> dict[str, Check]:
        with dictated(cluster, tmp_path, monkeypatch):
            rows = preflight.survey(place(name), OPTIONS)
        assert cluster.written == []
        assert "hf-not-to-be-seen" not in table(rows)
        return {one.what: one for one in rows}

    return asked


def lacking(rows: dict[str, Check]) -> list[str]:
    return [what for what, one in rows.items() if one.ok is False]


@pytest.mark.parametrize(("name", "objects"), [("minikube", 34), ("kubeadm", 34)])
def test_a_place_that_has_all_lacks_nothing(
    name: str, objects: int, ask: Callable[..., dict[str, Check]]
) -> None:
    cluster = whole()
    rows = ask(name, cluster)
    assert lacking(rows) == []
    assert rows["context dictated"].seen == "answers: Kubernetes v1.35.2"
    assert len(cluster.dry) == objects  # all but the Namespace, which is the whole cluster's
    require(place(name), list(rows.values()))


def test_eks_lacks_its_bucket_alone(ask: Callable[..., dict[str, Check]]) -> None:
    rows = ask("eks", whole())
    assert lacking(rows) == ["filled in"]
    assert "<BUCKET>" in rows["filled in"].seen
    assert rows["Pod Identity of vllm-engine"].ok is None  # there is no `aws` to ask with
    assert "L-DB2E81BA" in rows["EC2 quota"].hint


def _drop(kind: str) -> Change:
    return lambda cluster: cluster.objects.update({kind: []})


def _busy(cluster: Cluster) -> None:
    cluster.objects["Pod"] = [gpu_pod("training", "gpu")]


def _label(name: str, value: str) -> Change:
    return lambda cluster: cluster.objects["Node"][0]["metadata"]["labels"].update({name: value})


def _without_images(cluster: Cluster) -> None:
    cluster.objects["Node"][0]["status"]["images"] = []


def _without_gpu(cluster: Cluster) -> None:
    cluster.objects["Node"][0]["status"]["allocatable"] = {}


def _taken(cluster: Cluster) -> None:
    cluster.objects["Namespace"] = [named("vllm")]


DRIVER = "nvidia.com/cuda.driver-version.full"
# What is taken away: place -> the row that says so, and what its hint leads to.
LACKS: dict[str, tuple[str, Change, str, str]] = {
    "an old server": ("minikube", lambda it: setattr(it, "version", "v1.29.9"), "Kubernetes", "1.30"),
    "no right": ("kubeadm", lambda it: it.denied.add("create namespaces"), "rights", "ClusterRole"),
    "no device plugin": ("kubeadm", _without_gpu, "device plugin", "cluster/device-plugin"),
    "GPUs that are taken": ("eks", _busy, "GPUs: 1 free", "kubectl get pods -A"),
    "no label": (
        "kubeadm",
        _label("nvidia.com/gpu.present", "no"),
        "label nvidia.com/gpu.present",
        "label node",
    ),
    "an old driver": ("minikube", _label(DRIVER, "535.183.01"), "driver of the nodes", "580"),
    "no storage class": ("kubeadm", _drop("StorageClass"), "storage class local-path", "storageclasses"),
    "no default class": ("minikube", _drop("StorageClass"), "storage class default", "storageclasses"),
    "no ingress class": ("minikube", _drop("IngressClass"), "ingress class nginx", "guide"),
    "no Gateway class": ("eks", _drop("GatewayClass"), "Gateway class nginx", "guide"),
    "no Gateway API": ("eks", lambda it: it.without("gateway.networking.k8s.io/v1"), "Gateway API", "eks.md"),
    "no images": ("minikube", _without_images, "images of ours", "deploy/images/build gateway weights"),
    "somebody's namespace": ("eks", _taken, "namespace vllm", "--namespace vllm"),
    "a field that is refused": (
        "minikube",
        lambda it: it.refused.update({"vllm-engine": "spec.template: field not declared in schema"}),
        "objects accepted",
        "deploy/kubernetes/README.md",
    ),
    "an older API": ("minikube", lambda it: it.without("policy/v1"), "objects accepted", "README.md"),
}


@pytest.mark.parametrize("what", LACKS)
def test_what_is_not_there_is_named_with_what_to_do(what: str, ask: Callable[..., dict[str, Check]]) -> None:
    name, change, row, hint = LACKS[what]
    cluster = whole()
    change(cluster)
    rows = ask(name, cluster)
    assert row in lacking(rows)
    assert hint in rows[row].hint
    with pytest.raises(StackNotReady, match="nothing has been created"):
        require(place(name), list(rows.values()))


@pytest.mark.parametrize(
    ("group", "row"),
    [
        ("cert-manager.io/v1", "cert-manager"),
        ("monitoring.coreos.com/v1", "Prometheus operator"),
        ("metrics.k8s.io/v1beta1", "metrics API"),
    ],
)
def test_what_can_be_done_without_is_told(group: str, row: str, ask: Callable[..., dict[str, Check]]) -> None:
    cluster = whole()
    cluster.without(group)
    rows = ask("minikube", cluster)
    assert (lacking(rows), rows[row].ok) == ([], None)


def test_faults_need_rights_that_a_run_can_do_without(ask: Callable[..., dict[str, Check]]) -> None:
    cluster = whole()
    cluster.denied = {"patch nodes", "create pods/exec"}
    rows = ask("minikube", cluster)
    assert lacking(rows) == []
    assert rows["rights for faults and load Pods"].seen == "may not patch nodes, create pods/exec"


def test_an_autoscaler_may_bring_the_gpu(ask: Callable[..., dict[str, Check]]) -> None:
    cluster = whole()
    _busy(cluster)
    cluster.objects["Deployment"] = [named("cluster-autoscaler")]
    rows = ask("kubeadm", cluster)
    assert (lacking(rows), rows["GPUs: 1 free"].ok) == ([], None)
    assert rows["GPUs: 1 free"].seen.endswith("the Cluster Autoscaler may add a node")


def test_a_refused_object_is_told_with_the_servers_words(ask: Callable[..., dict[str, Check]]) -> None:
    cluster = whole()
    cluster.refused = {"vllm-gateway-metrics": "no", "vllm-engine": "spec.x: unknown"}
    seen = ask("minikube", cluster)["objects accepted"].seen
    assert "Deployment vllm-engine: HTTP 422: spec.x: unknown" in seen


def test_without_a_context_all_is_said_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs, GPU, host, context, what the cluster would be asked: one error, not the first thing alone."""
    monkeypatch.delenv("HF_TOKEN")
    minikube = read_profile(profile_path("minikube"))
    with pytest.raises(StackNotReady) as error:
        preflight.require_reachable(minikube, ClusterOptions())
    said = str(error.value)
    for word in (
        "MISSING program minikube", "MISSING program nvidia-smi", "MISSING GPU NVIDIA GeForce RTX 3060 here",
        "MISSING context", "no context 'minikube'", "ingress class nginx", "Kubernetes 1.30 or newer",
    ):  # fmt: skip
        assert word in said, said
    kubeadm = {one.what: one.ok for one in preflight.survey(place("kubeadm"), ClusterOptions())}
    assert (kubeadm["variable HF_TOKEN"], kubeadm["context"]) == (False, False)


def test_a_server_that_does_not_answer_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to(tmp_path, "http://127.0.0.1:1", monkeypatch)  # nobody may listen there
    with pytest.raises(StackNotReady, match="MISSING context dictated"):
        preflight.require_reachable(place("minikube"), OPTIONS)


def test_a_cluster_that_answers_is_reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = whole()
    with dictated(cluster, tmp_path, monkeypatch):
        preflight.require_reachable(place("minikube"), OPTIONS)
        filled = place("eks")
        with pytest.raises(StackNotReady, match="filled in") as error:
            preflight.require_reachable(filled, OPTIONS)
    assert "Gateway class nginx" in str(error.value)  # the cluster was asked, for its rows belong to the rest


def test_a_stack_that_is_there_needs_nothing_of_what_stands_one_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release gate attaches on a runner without bucket, GPU or `minikube`."""
    monkeypatch.delenv("HF_TOKEN")
    there = replace(OPTIONS, namespace="vllm")
    with dictated(Cluster(objects={"Namespace": [named("vllm")]}), tmp_path, monkeypatch):
        for name in ("eks", "minikube", "kubeadm"):
            preflight.require_reachable(read_profile(profile_path(name)), there)
    point_to(tmp_path, "http://127.0.0.1:1", monkeypatch)  # nobody may listen there
    with pytest.raises(StackNotReady, match="namespace vllm: the cluster of the context dictated") as error:
        preflight.require_reachable(place("eks"), there)
    assert "filled in" not in str(error.value)


def test_where_images_are_made_here_a_docker_has_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")  # where nobody listens
    cluster, eks = (read_profile(profile_path(name)).cluster for name in ("cluster", "eks"))
    assert cluster is not None
    assert eks is not None
    (row,) = machine_checks.docker(cluster)
    assert row.ok is False
    assert row.seen
    assert list(machine_checks.docker(eks)) == []

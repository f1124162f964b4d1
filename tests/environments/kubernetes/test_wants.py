"""What objects ask of a cluster, counted by hand."""

from __future__ import annotations

import pytest

from environments.kubernetes.wants import Volume, bytes_of, wants_of
from tests.environments.kubernetes.dictated import Document
from tests.kubernetes.rendering import command, rendered

GIB = 2**30


def workload(name: str, replicas: int | None = None, **pod: object) -> Document:
    spec: Document = {"template": {"spec": {"containers": [{"name": "c", "image": "i"}], **pod}}}
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def scaler(kind: str, name: str, **spec: object) -> Document:
    return {
        "apiVersion": "x/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"scaleTargetRef": {"name": name}, **spec},
    }


def claim(size: str, storage_class: str | None = None) -> Document:
    found: Document = {"resources": {"requests": {"storage": size}}}
    return {**found, **({"storageClassName": storage_class} if storage_class else {})}


def test_pods_are_those_that_scalers_begin_with_and_may_go_to() -> None:
    wants = wants_of(
        [
            workload("fixed", 3),
            workload("one"),
            workload("scaled"),
            scaler("HorizontalPodAutoscaler", "scaled", minReplicas=2, maxReplicas=6),
            workload("by-queue"),
            scaler("ScaledObject", "by-queue", minReplicaCount=1, maxReplicaCount=4),
        ]
    )
    assert wants.pods == {"fixed": 3, "one": 1, "scaled": 2, "by-queue": 1}
    assert wants.most_pods == {"fixed": 3, "one": 1, "scaled": 6, "by-queue": 4}


def test_gpus_are_those_of_all_replicas() -> None:
    gpus = [{"name": "c", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]
    wants = wants_of(
        [workload("a", containers=gpus), scaler("ScaledObject", "a", minReplicaCount=1, maxReplicaCount=3)]
    )
    assert (wants.gpus, wants.most_gpus) == (2, 6)


def test_volumes_of_claims_templates_and_pods() -> None:
    ephemeral = [{"name": "w", "ephemeral": {"volumeClaimTemplate": {"spec": claim("10Gi", "gp3")}}}]
    own = {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "metadata": {"name": "p"},
        "spec": claim("50Gi"),
    }
    stateful = workload("s", 2)
    stateful["kind"] = "StatefulSet"
    stateful["spec"]["volumeClaimTemplates"] = [{"spec": claim("1Gi", "fast")}]
    wants = wants_of([own, workload("e", 3, volumes=ephemeral), stateful])
    assert set(wants.volumes) == {
        Volume("default", 50 * GIB, 1),
        Volume("gp3", 10 * GIB, 3),
        Volume("fast", GIB, 2),
    }
    assert wants.storage_classes == {"default", "gp3", "fast"}


def test_balancers_placeholders_and_sleep() -> None:
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "s"},
        "spec": {"type": "LoadBalancer"},
    }
    inner = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "t"}, "spec": {"type": "NodePort"}}
    gateway = {
        "kind": "Gateway",
        "apiVersion": "g/v1",
        "metadata": {"name": "g"},
        "spec": {"gatewayClassName": "n"},
    }
    sleeping = [{"name": "c", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": 10}}}}]
    weights = [{"name": "w", "image": "w", "args": ["s3://<BUCKET>/m"]}]
    wants = wants_of([service, inner, gateway, workload("a", containers=sleeping, initContainers=weights)])
    assert (wants.balancers, set(wants.gateway_classes)) == (2, {"n"})
    assert (set(wants.placeholders), wants.s3, wants.sleeps_before_stop) == ({"<BUCKET>"}, True, True)
    assert wants.images == {"i", "w"}
    assert not wants_of([inner, workload("b")]).sleeps_before_stop


@pytest.mark.parametrize(
    ("written", "size"),
    [("50Gi", 50 * GIB), ("1.5Gi", 3 * GIB // 2), ("512Mi", GIB // 2), ("10G", 10**10), ("7", 7)],
)
def test_sizes(written: str, size: int) -> None:
    assert bytes_of(written) == size


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no quantity"):
        bytes_of("much")


@pytest.mark.skipif(command() is None, reason="no kustomize: `make setup PARTS=kubernetes`")
def test_the_overlay_of_eks() -> None:
    """One engine and two gateways to begin with; there may be two engines (KEDA) and six gateways."""
    wants = wants_of(rendered("overlays/eks"))
    assert (sum(wants.pods.values()), sum(wants.most_pods.values())) == (3, 8)
    assert (wants.gpus, wants.most_gpus, wants.balancers) == (1, 2, 1)
    assert wants.volumes == (Volume("gp3", 50 * GIB, 1),)

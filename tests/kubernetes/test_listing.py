"""What "before = after" means, by hand on listings made up here; of an API server in tests/cluster."""

from __future__ import annotations

from tests.cluster.listing import Named, changes

RUN, OTHER = "20261122T010000Z-cluster-0001", "20261122T010000Z-cluster-0002"
KEPT = Named("Namespace", "", "default")
OURS = [
    Named("Namespace", "", "vllm-slo-1", RUN),
    Named("Pod", "vllm-slo-1", "engine"),
    Named("PersistentVolume", "vllm-slo-1", "pvc-1"),
]
THEIRS = [Named("Namespace", "", "vllm-slo-2", OTHER), Named("Pod", "vllm-slo-2", "engine")]
WIDE = Named("ClusterRole.rbac.authorization.k8s.io", "", "one")


def test_all_that_came_or_went_counts_in_a_cluster_of_our_own() -> None:
    assert changes([KEPT, WIDE], [KEPT, WIDE], (), is_ours=True) == []
    assert changes([KEPT, WIDE], [KEPT, *THEIRS], (), is_ours=True) == [
        "+ Namespace vllm-slo-2",
        "+ Pod vllm-slo-2/engine",
        "- ClusterRole.rbac.authorization.k8s.io one",
    ]


def test_of_a_cluster_that_others_use_only_what_the_run_can_have_left_counts() -> None:
    came = changes([KEPT, WIDE], [KEPT, *OURS, *THEIRS], (RUN,), is_ours=False)
    assert came == [
        "+ Namespace vllm-slo-1",
        "+ PersistentVolume vllm-slo-1/pvc-1",
        "+ Pod vllm-slo-1/engine",
    ]
    assert changes([KEPT], [KEPT, WIDE], (RUN,), is_ours=False) == [f"+ {WIDE}"]

"""The listing sees what comes and goes in an API server, and a session is told its cluster."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.listing import Named, listing
from tests.cluster.sessions import Context, Sessions
from tests.kubernetes.cluster import Kubectl

RUN = "20261122T010000Z-cluster-0001"


@pytest.mark.kubernetes
def test_an_object_of_any_kind_is_seen_to_come_and_to_go(
    kubectl: Kubectl, left: Callable[..., list[str]]
) -> None:
    made = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: listing-proof, labels: {{vllm-slo.io/run: {RUN}}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: nobody, namespace: listing-proof}}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: listing-proof}}
value: 1
"""
    kubectl("apply", "-f", "-", text=made)
    try:
        seen = left(RUN, bound_s=0)
        assert {
            "+ Namespace listing-proof",
            "+ Role.rbac.authorization.k8s.io listing-proof/nobody",
            "+ PriorityClass.scheduling.k8s.io listing-proof",
        } <= set(seen)
    finally:
        kubectl("delete", "--wait=true", "-f", "-", text=made)
    assert left(RUN) == []
    assert Named("Namespace", "", "default") in listing(kubectl)


@pytest.mark.kubernetes
def test_a_session_is_told_the_context_by_name(context: Context, sessions: Sessions) -> None:
    """One that only collects: the words are understood, and no run is made."""
    ended = sessions("-m", "smoke", "--env", "cluster", "--collect-only", "-qq", bound_s=120)
    assert ended.code == 0, ended.output
    args = ended.run.process.args
    assert isinstance(args, list)
    assert args[-3:-1] == ["--context", context.name]

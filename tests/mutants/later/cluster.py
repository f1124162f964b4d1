"""Faults of stacks that stand in a cluster."""

from environments.provider import Stack
from tests.mutants.after import Later


def pause_gateways(stack: Stack) -> None:
    """Their Deployment takes changes, and rolls none of them out."""
    assert stack.cluster is not None
    place = stack.cluster.workload("gateway")
    change = {"spec": {"paused": True}}
    stack.cluster.api.merge("apps/v1", place.kind, place.name, stack.cluster.namespace, change)


LATER: dict[str, Later] = {"gateways-paused": pause_gateways}

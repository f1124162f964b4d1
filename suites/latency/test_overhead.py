"""What do gateway and ingress add to the first token of a lone user?

Blocks of the workload way-in straight to the engine, by the gateway and by the ingress, in turn and in an
order that is drawn for each round: the median difference of a round, with its interval, beside the bounds
gateway-overhead-ms and ingress-overhead-ms. Costs half a minute on two cores.
"""

from __future__ import annotations

import pytest

from instruments.slo.bounded import Bounded

pytestmark = [pytest.mark.ttft, pytest.mark.needs("gateway", "engine_metrics", "straight")]

WORKLOAD = "way-in"


@pytest.mark.claim("host-a6000", "gateway-rtx3090")
def test_the_gateway_adds_little(ways_in, bound):
    """By the gateway the first token comes at most so much later than straight from the engine"""
    added_ms = [1000 * (one["gateway"] - one["engine"]) for one in ways_in(WORKLOAD)]
    found = Bounded.median("what the gateway adds to TTFT", added_ms, "ms", "rounds")
    found.require_at_most(bound("gateway-overhead-ms"))


@pytest.mark.claim("minikube-rtx3060", "kubeadm-ec2")
@pytest.mark.needs("ingress")
def test_the_ingress_adds_little(ways_in, bound):
    """By the ingress the first token comes at most so much later than straight from the gateway"""
    added_ms = [1000 * (one["ingress"] - one["gateway"]) for one in ways_in(WORKLOAD)]
    found = Bounded.median("what the ingress adds to TTFT", added_ms, "ms", "rounds")
    found.require_at_most(bound("ingress-overhead-ms"))

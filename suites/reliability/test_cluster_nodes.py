"""The ground goes: a node is drained, and the network between gateways and engine is cut.

Only Pods of the run's own namespace are evicted, and a node that others need is not touched: a skip says so.
Load, bounds and needs as in test_cluster.py. Costs with a simulated engine on two cores: 50 s.
"""

from __future__ import annotations

import pytest

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.disruptive,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("cluster", "cluster_faults"),
]

GATEWAY = "vllm-gateway"
ASKED_FOR_S = 6.0  # how long a drain here asks again for a Pod that its budget holds


@pytest.fixture(scope="module")
def drained(suffer, cluster_faults, bound, lacks):
    """The node of a gateway is drained of this stack, and then takes Pods again."""
    if why := cluster_faults.why_no_drain("gateway"):
        lacks("node_of_its_own", why)
    return suffer(
        "reliability.cluster-drained",
        lambda: cluster_faults.drained("gateway", ASKED_FOR_S),
        back_within_s=bound("cluster-engine-back-s"),
    )


def test_a_drain_asks_the_budget(drained):
    """A drain takes gateways one at a time: the budget refuses the second until the first one is replaced"""
    found = drained.given
    assert found.evicted, f"nothing was evicted: {found}"
    gateways = [name for name in (*found.evicted, *found.held) if name.startswith(GATEWAY)]
    assert found.refusals >= len(gateways) - 1, f"all gateways were let go at once: {found}"


def test_a_drain_leaves_nobody_hanging(drained, bound):
    """While a node is drained, who cannot be served is told so in time, and no cut answer looks whole"""
    assert drained.ordeal.outage.lost_before == 0
    drained.require_no_waiting(bound("reliability-no-within-s"))
    drained.require_honest()


def test_a_drained_node_is_used_again(drained, cluster, bound):
    """Once a drained node takes Pods again, all is ready within a bound, and the node is as it was before"""
    drained.require_well_within(ASKED_FOR_S + bound("cluster-engine-back-s"))
    assert drained.ordeal.outage.good_after > 0
    assert cluster.cordoned(drained.given.node) is False


@pytest.fixture(scope="module")
def cut(suffer, cluster_faults, bound, lacks, scaled_s):
    """Nobody may talk to the engine for a while, by NetworkPolicy."""
    if why := cluster_faults.why_unenforced():
        lacks("network_policies", why)
    return suffer(
        "reliability.cluster-cut",
        lambda: cluster_faults.cut("engine"),
        lasts_s=scaled_s(20.0, 10.0),
        back_within_s=bound("cluster-gateway-back-s"),
    )


def test_a_cut_network_leaves_nobody_hanging(cut, bound):
    """Cut off from their engine, the gateways tell so in time, and serve again soon after the cut"""
    assert cut.ordeal.outage.asked_meanwhile > 0, "the cut cut nothing"
    cut.require_no_waiting(bound("reliability-no-within-s"))
    cut.require_honest()
    assert cut.ordeal.outage.good_after > 0

"""Probes fail: a Pod that is not ready gets nothing to do, and one that is not alive is restarted.

The probes of the gateways hang on switches here, so that one Pod fails and its like does not. Load, bounds
and needs as in test_cluster.py. Costs with a simulated engine on two cores: 90 s.
"""

from __future__ import annotations

import pytest

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.disruptive,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("cluster", "cluster_faults"),
]

SERVICE = "vllm-gateway"
LONG = {"rate_per_s": 5.0, "output_tokens": 256}  # some requests are in their middle at any time


@pytest.fixture(scope="module")
def switched(cluster_faults, with_change):
    """The gateways, their probes hanging on switches while this module lasts."""
    with with_change(lambda: cluster_faults.switched("gateway")):
        yield cluster_faults


@pytest.fixture(scope="module")
def unready(switched, cluster, suffer, bound, scaled_s):
    """The readiness probe of one gateway fails for a while."""
    out = []

    def out_of_service():
        out.append(cluster.in_service(SERVICE))
        return len(out[-1]) < len(cluster.pods("gateway"))

    found = suffer(
        "reliability.cluster-unready",
        lambda: switched.unready("gateway"),
        until=out_of_service,
        until_bound_s=bound("cluster-out-s"),
        lasts_s=scaled_s(10.0, 5.0),
        back_within_s=bound("cluster-gateway-back-s"),
        **LONG,
    )
    return found, out[-1]


def test_a_pod_that_is_not_ready_gets_nothing_to_do(unready, bound):
    """A gateway whose readiness probe fails is out of its Service within a bound, and no request is lost"""
    found, serving = unready
    found.require_told_within("not ready", "gateway", bound("cluster-out-s"))
    assert serving, "the Service led nowhere"
    assert found.given not in serving, f"the Service still leads to {found.given}"
    found.require_nothing_lost()


def test_a_pod_that_is_ready_again_is_used_again(unready, cluster):
    """A gateway whose readiness probe succeeds again is in its Service again, and was never restarted"""
    found, _ = unready
    assert found.given in cluster.in_service(SERVICE)
    assert cluster.restarts(found.given) == 0


@pytest.fixture(scope="module")
def unwell(switched, cluster, suffer, bound):
    """The liveness probe of one gateway fails until its container is a new one."""
    pod = []

    def fail():
        pod.append(switched.unwell("gateway"))
        return pod[0]

    return suffer(
        "reliability.cluster-unwell",
        fail,
        until=lambda: cluster.restarts(pod[0]) > 0,
        until_bound_s=bound("cluster-restarted-s"),
        back_within_s=bound("cluster-gateway-back-s"),
    )


def test_a_container_that_is_not_alive_is_restarted(unwell, cluster, bound):
    """A gateway whose liveness probe fails is restarted in its Pod within a bound, and it is told why"""
    unwell.require_told("Unhealthy: Liveness probe failed")
    assert cluster.restarts(unwell.given) == 1
    unwell.require_well_within(bound("cluster-restarted-s"))


def test_a_restart_by_its_probe_cuts_no_stream(unwell, bound):
    """A gateway that its liveness probe ends lets its streams end, and tells whom it cannot serve in time"""
    assert [one.cut or one.error or one.tokens for one in unwell.ordeal.streams if not one.is_whole] == []
    assert unwell.ordeal.outage.lost_before == 0
    unwell.require_no_waiting(bound("reliability-no-within-s"))
    assert unwell.ordeal.outage.good_after > 0

"""Pods end: deleted, killed, or out of memory. What is lost, and how soon is all well again?

Load on the session's own stack: ten small requests a second where the engine goes, five longer ones where
nothing may be lost, and four long streams in their middle when it happens. Bounds: `cluster-…` and
`reliability-…` of the catalog. Recovery is told twice: by clients, on our clock, and by the API's own
timestamps, in whole seconds. Needs a stack in a cluster that this run applied. Costs with a simulated engine
on two cores: 140 s.
"""

from __future__ import annotations

import pytest

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.disruptive,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("cluster", "cluster_faults"),
]

LONG = {"rate_per_s": 5.0, "output_tokens": 256}  # some requests are in their middle at any time
TOO_LITTLE_MEBIBYTES = 12  # a container starts, and no server


@pytest.fixture(scope="module")
def gateway_deleted(suffer, cluster_faults, bound):
    """One of the gateways is deleted under load."""
    return suffer(
        "reliability.cluster-gateway-deleted",
        lambda: cluster_faults.delete_pod("gateway"),
        back_within_s=bound("cluster-gateway-back-s"),
        **LONG,
    )


def test_a_deleted_gateway_loses_nothing(gateway_deleted):
    """A gateway that is deleted under load lets its streams end: no request is lost, and no stream is cut"""
    gateway_deleted.require_told("deletion asked for", "gateway")
    gateway_deleted.require_nothing_lost()


def test_a_deleted_gateway_is_replaced(gateway_deleted, bound):
    """The Pod in a deleted gateway's place is ready within a bound, by the API's own timestamps"""
    gateway_deleted.require_well_within(bound("cluster-gateway-back-s"))


@pytest.fixture(scope="module")
def engine_killed(suffer, cluster_faults, bound):
    """The engine's Pod is killed without a grace."""
    return suffer(
        "reliability.cluster-engine-killed",
        lambda: cluster_faults.delete_pod("engine", grace_s=0),
        back_within_s=bound("cluster-engine-back-s"),
    )


def test_a_killed_engine_leaves_nobody_hanging(engine_killed, bound):
    """When the engine's Pod is killed, who cannot be served is told in time, and no cut answer looks whole"""
    assert engine_killed.ordeal.outage.lost_before == 0
    engine_killed.require_no_waiting(bound("reliability-no-within-s"))
    engine_killed.require_honest()


def test_a_killed_engine_is_replaced(engine_killed, bound):
    """The Pod in a killed engine's place is ready within a bound, and soon after that clients are served"""
    engine_killed.require_well_within(bound("cluster-engine-back-s"))
    engine_killed.require_served_soon(bound("cluster-served-s"))


@pytest.fixture(scope="module")
def out_of_memory(suffer, cluster, cluster_faults, bound):
    """The engine's container needs more memory than it may have."""
    restarts_before = {}

    def fill():
        pod = cluster_faults.first("engine")
        restarts_before[pod] = cluster.restarts(pod)
        return cluster_faults.exhaust_memory("engine")

    found = suffer(
        "reliability.cluster-out-of-memory",
        fill,
        until=lambda: any(cluster.restarts(pod) > count for pod, count in restarts_before.items()),
        until_bound_s=bound("cluster-engine-back-s"),
        back_within_s=bound("cluster-engine-back-s"),
    )
    return found, cluster.restarts(found.given) - restarts_before[found.given]


def test_an_engine_out_of_memory_is_restarted_and_told(out_of_memory, bound):
    """An engine that runs out of memory is told as OOMKilled, and its container restarted in its Pod"""
    found, restarts = out_of_memory
    found.require_told("container engine ended: OOMKilled", "engine")
    assert restarts == 1
    found.require_well_within(bound("cluster-engine-back-s"))


def test_an_engine_out_of_memory_costs_what_a_killed_one_does(out_of_memory, bound):
    """When an engine runs out of memory nobody is left hanging; soon after its restart clients are served"""
    found, _ = out_of_memory
    assert found.ordeal.outage.lost_before == 0
    found.require_no_waiting(bound("reliability-no-within-s"))
    found.require_honest()
    found.require_served_soon(bound("cluster-served-s"))


@pytest.fixture(scope="module")
def starved(suffer, cluster_faults, bound, scaled_s):
    """The engine gets a limit of memory with which it cannot start."""
    return suffer(
        "reliability.cluster-starved",
        lambda: cluster_faults.too_little_memory("engine", TOO_LITTLE_MEBIBYTES),
        lasts_s=scaled_s(60.0, 45.0),  # as long as the alert may take: at its end nobody looks for it
        back_within_s=bound("cluster-engine-back-s"),
        alerts=["EngineDown"],
        streams=0,  # an engine that is replaced lets them end first
    )


@pytest.mark.slow
def test_a_limit_too_low_is_told_and_mended(starved, bound):
    """With too low a limit of memory to start the engine is told as OOMKilled; without it, it serves again"""
    starved.require_told("container engine ended: OOMKilled", "engine")
    starved.require_no_waiting(bound("reliability-no-within-s"))
    assert starved.ordeal.outage.good_after > 0


@pytest.mark.slow
@pytest.mark.needs("prometheus")
def test_an_engine_that_cannot_start_is_alerted(starved, bound):
    """The alert for an engine that is away fires within a bound while it cannot start"""
    after_s = starved.ordeal.fired_after_s["EngineDown"]
    assert after_s is not None, "EngineDown never fired"
    assert after_s <= bound("cluster-alert-s")

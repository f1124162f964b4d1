"""Rollouts under load: of gateways, of the engine, and one that cannot succeed.

Load, bounds and needs as in test_cluster.py. Costs with a simulated engine on two cores: 110 s.
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
FAILED_AFTER_S = 10  # progressDeadlineSeconds of a rollout that cannot succeed


@pytest.fixture(scope="module")
def gateways_rolled(suffer, cluster_faults, bound):
    """All gateways are replaced under load, as `kubectl rollout restart` does it."""
    return suffer(
        "reliability.cluster-gateways-rolled",
        lambda: cluster_faults.restart("gateway"),
        back_within_s=bound("cluster-gateway-back-s"),
        **LONG,
    )


def test_a_rollout_of_gateways_fails_no_stream(gateways_rolled, cluster):
    """All gateways replaced under load: no stream and no request fails, and none is missing at any time"""
    gateways_rolled.require_told("deletion asked for", "gateway")
    gateways_rolled.require_nothing_lost()
    assert gateways_rolled.least_ready("gateway") == len(cluster.pods("gateway"))


def test_a_rollout_of_gateways_ends(gateways_rolled, bound):
    """A rollout of all gateways is over within a bound, by the API's own timestamps"""
    gateways_rolled.require_well_within(bound("cluster-rollout-s"))


@pytest.fixture(scope="module")
def engine_rolled(suffer, cluster_faults, bound):
    """The engine is replaced under load."""
    return suffer(
        "reliability.cluster-engine-rolled",
        lambda: cluster_faults.restart("engine"),
        back_within_s=bound("cluster-rollout-s"),
    )


def test_a_rollout_of_the_engine_leaves_nobody_hanging(engine_rolled, bound):
    """While the engine is replaced, who cannot be served is told so in time, and no cut answer looks whole"""
    assert engine_rolled.ordeal.outage.lost_before == 0
    engine_rolled.require_no_waiting(bound("reliability-no-within-s"))
    engine_rolled.require_honest()


def test_a_rollout_of_the_engine_ends(engine_rolled, bound):
    """A rollout of the engine is over within a bound, and soon after that clients are served"""
    engine_rolled.require_well_within(bound("cluster-rollout-s"))
    engine_rolled.require_served_soon(bound("cluster-served-s"))


@pytest.fixture(scope="module")
def unpullable(suffer, cluster, cluster_faults, bound):
    """The gateways get an image that there is not, and then the old one again."""
    before = cluster.images("gateway")
    found = suffer(
        "reliability.cluster-no-such-image",
        lambda: cluster_faults.unpullable("gateway", FAILED_AFTER_S),
        until=lambda: cluster.rollout_failed("gateway"),
        until_bound_s=FAILED_AFTER_S + bound("cluster-failed-told-s"),
        back_within_s=bound("cluster-gateway-back-s"),
    )
    return found, before


def test_an_image_that_cannot_be_pulled_costs_nothing(unpullable, cluster):
    """With an image that cannot be pulled the old gateways go on: nothing is lost, and none is missing"""
    found, before = unpullable
    found.require_nothing_lost()
    assert found.least_ready("gateway") == len(cluster.pods("gateway"))
    assert cluster.images("gateway") == before, "the image of before is not back"


def test_a_rollout_that_failed_is_told(unpullable, bound):
    """A rollout that cannot succeed is told as failed soon after its deadline, and so is the image"""
    found, _ = unpullable
    found.require_told("Failed: ")
    told = "Progressing False: ProgressDeadlineExceeded"
    found.require_told_within(told, "gateway", FAILED_AFTER_S + bound("cluster-failed-told-s"))

"""Do the gateway's alerts fire when engines fail it, keys are wrong, a replica hangs or Redis is gone?

Workload: twelve users on a stage of two engines that are simulated, as it is dictated when they fail; the
gateway is real, its limits lie in a real Redis. Rules wait and look back 20 times faster than on a host; what
they compare with is theirs.
Bounds: `alert-*` beyond the rule's own waits. Needs: a stage, Prometheus, Alertmanager. Costs: 2 minutes.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import pytest

from suites.observability.provocations import FAILING, PACE

pytestmark = [
    pytest.mark.observability,
    pytest.mark.disruptive,
    pytest.mark.needs("stage", "prometheus", "alertmanager"),
    pytest.mark.claim("gateway-rtx3090", "nobody"),
]

# Of its requests a quarter is refused; of the rest half are cut off after 20 tokens.
SICK = ["--itl-ms", "5", "--error-share", "0.25", "--reset-after", "20", "--fault-share", "0.5"]
ENGINE = {
    "kind": "simulator",
    "replicas": 2,
    "simulator_arguments": SICK,
    "arguments": [],
    "interposer": [],
    "settings": None,
}
GATEWAY = {
    "limits": {"storage": "redis", "redis_url_env": "LIMITS_URL", "key": "1000/second"},
    "admission": {"in_flight": 8},
    "upstream": {"outlier": {"ejected_s": 1.5}},
}
LASTS_S = 90.0
WRONG = {"Authorization": "Bearer sk-of-nobody"}


@pytest.fixture
def failing(once, stage, watch, planted, crowd_on, storage):
    """What became of each alert; under "control" what was active while nobody asked."""

    def tell():
        limits = storage()
        program = ["/usr/bin/env", f"LIMITS_URL={limits.url}", sys.executable, "-m", "deploy.gateway"]
        gateway = {"program": program, "settings": GATEWAY}
        on = stage(
            "failing", engine=ENGINE, gateway=gateway, ingress=None, exporter={"kind": "none"}, pace=PACE
        )
        watched = watch(on)
        watched.calm(60.0)
        control = watched.quiet(5.0)
        fail(on, watched, planted(on), crowd_on, limits)
        return watched.followed, control

    return once("failing", tell)


def fail(on, watched, parts, crowd_on, limits):
    """Sick engines, then a replica that hangs and is scraped by nobody, wrong keys, and no storage."""
    sick = ("GatewayErrors", "StreamsBreak", "ReplicaFlaps", "GatewaySheds")
    if watched.wants(*sick):
        with watched.provoked(*sick) as alerts, crowd_on(on, users=12, tokens=60, stream=True):
            alerts.wait(LASTS_S)
    if watched.wants("AuthFailures"):
        with watched.provoked("AuthFailures") as alerts, crowd_on(on, users=3, tokens=4, headers=WRONG):
            alerts.wait(LASTS_S)
    if watched.wants("LimitStorageErrors"):
        with watched.provoked("LimitStorageErrors") as alerts, limits.gone(), crowd_on(on, users=2, tokens=4):
            alerts.wait(LASTS_S)
    watched.settled(90.0)
    if not watched.wants("ReplicaUnhealthy"):
        return
    second = urlsplit(on.engine_urls[1]).netloc
    with parts.shown(targets=lambda jobs: jobs["engine"].remove(second)):
        with watched.provoked("ReplicaUnhealthy") as alerts, parts.halted("engine-2"):
            alerts.wait(LASTS_S)
        watched.settled(30.0)


def test_nothing_fires_while_nobody_asks(failing):
    """A gateway with two replicas and no traffic raises no alert, and none is on the way"""
    assert failing[1] == {}


@pytest.mark.parametrize("alert", FAILING)
def test_an_alert_of_the_gateway_fires_and_arrives(failing, bound, alert):
    """Each cause of trouble at the gateway fires its alert: pending, firing, delivered in time"""
    failing[0][alert].require_arrived(
        bound("alert-pending-s"), bound("alert-firing-s"), bound("alert-delivered-s")
    )


@pytest.mark.parametrize("alert", FAILING)
def test_an_alert_of_the_gateway_is_resolved(failing, bound, alert):
    """When the cause is gone the receiver is told so in time"""
    failing[0][alert].require_resolved(bound("alert-resolved-s"))


@pytest.mark.parametrize("alert", FAILING)
def test_what_arrives_of_the_gateway_says_what_to_do(failing, alert):
    """What arrives has the rule's severity, went to those meant, and its summary has values in it"""
    failing[0][alert].require_told()

"""What does it cost when those who watch are gone: Prometheus, Alertmanager, the exporter, their disk?

Load: ten small requests a second, and four long streams. Bounds: `reliability-…` of the catalog. Needs a
stage with Prometheus. Costs with vLLM on two cores: 45 s.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import httpx
import pytest

from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.disruptive,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("stage", "prometheus"),
]

AWAY_S = 3.0


@pytest.fixture(scope="module")
def watched(stage):
    """A stage, to lose its watchers."""
    return stage("watched", pace=10)


@pytest.fixture(scope="module")
def up(watched):
    """Asks the stage's Prometheus which jobs were up since an instant, or at one; none when it is away."""

    def which(*, since_unix_s: float = 0.0, at_unix_s: float | None = None) -> set[str]:
        # Of a target that is scraped no more, the last sample stands for minutes: its age tells.
        asked = {"query": f"up == 1 and timestamp(up) > {since_unix_s:.3f}"}
        asked |= {} if at_unix_s is None else {"time": f"{at_unix_s:.3f}"}
        try:
            answer = httpx.get(
                f"{watched.prometheus_url}/api/v1/query", params=asked, trust_env=False, timeout=5.0
            )
            return {one["metric"]["job"] for one in answer.json()["data"]["result"]}
        except (httpx.HTTPError, ValueError, KeyError):
            return set()

    return which


@pytest.fixture(scope="module")
def watched_again(watched, up, parts, bound):
    """Requires that all targets are scraped anew after an ordeal, within a bound."""

    def required(ordeal: Any) -> None:
        jobs, mended_unix_s = {*watched.scraped}, ordeal.measured.run.anchor.unix_s(ordeal.mended_ns)
        seen = parts.seen(lambda: up(since_unix_s=mended_unix_s) >= jobs, bound("reliability-watching-s"))
        assert seen, f"scraped anew: {up(since_unix_s=mended_unix_s)}, not {jobs}"

    return required


@pytest.fixture(scope="module")
def unwatched(watched, endure, parts, bound):
    """All who watch are killed at once under load, and started anew; with the instant of their death."""
    names = [one.name for one in watched.watchers]
    died = []

    def strike() -> None:
        died.append(time.time())
        for name in names:
            parts.of(watched, name).signal(signal.SIGKILL)

    def mend() -> None:
        for name in names:
            parts.keep(parts.of(watched, name), bound("reliability-ended-s"))

    ordeal = endure(
        watched,
        "reliability.unwatched",
        fault=strike,
        end=mend,
        lasts_s=AWAY_S,
        back_within_s=bound("reliability-gateway-back-s"),
    )
    return ordeal, died[0]


def test_serving_needs_no_watchers(unwatched):
    """While Prometheus, Alertmanager, its receiver and the exporter are dead, no request is lost"""
    ordeal, _ = unwatched
    _require_nothing_lost(ordeal)


def test_watching_goes_on_where_it_ended(unwatched, watched, up, watched_again):
    """After its restart Prometheus scrapes all targets again, and still knows what was before it died"""
    ordeal, died_unix_s = unwatched
    watched_again(ordeal)
    assert up(at_unix_s=died_unix_s - 1.0) >= {*watched.scraped}, "what was before is forgotten"


@pytest.mark.needs("alertmanager")
def test_alerts_that_do_not_arrive_are_told(unwatched, watched, parts, fires, bound):
    """When Alertmanager is dead, Prometheus itself has an alert for it: whoever looks there is told"""
    manager = parts.of(watched, "alertmanager")
    manager.signal(signal.SIGKILL)
    try:
        after_s = fires(watched, "AlertsDoNotArrive", bound("reliability-unarrived-told-s"))
    finally:
        parts.keep(manager, bound("reliability-ended-s"))
    assert after_s is not None, "AlertsDoNotArrive never fired"


@pytest.fixture(scope="module")
def disk_full(watched, endure, parts, bound):
    """The files of Prometheus may grow no more under load, as on a disk that is full."""
    prometheus = parts.of(watched, "prometheus")

    def mend() -> None:
        parts.free_disk(prometheus)
        if prometheus.ended is not None:
            prometheus.again()

    return endure(
        watched,
        "reliability.prometheus-disk-full",
        fault=lambda: parts.fill_disk(prometheus),
        end=mend,
        lasts_s=AWAY_S,
        back_within_s=bound("reliability-gateway-back-s"),
    )


def test_a_full_disk_under_the_watchers_costs_no_request(disk_full, watched_again):
    """While Prometheus cannot store anything, no request is lost; with room again it scrapes as before"""
    _require_nothing_lost(disk_full)
    watched_again(disk_full)


def _require_nothing_lost(ordeal: Any) -> None:
    if ordeal.outage.good_after + ordeal.outage.asked_meanwhile == 0:
        raise ObjectiveInconclusive("nothing was asked meanwhile")
    lost = [one for one in ordeal.measured.run.records if one.outcome != "COMPLETED"]
    assert [(one.outcome, one.status, one.error) for one in lost] == []
    assert [held.cut or held.error or held.tokens for held in ordeal.streams if not held.is_whole] == []

"""Two replicas: what does it cost when one is lost or hangs, and can both be restarted without a loss?

Load: ten small requests a second, and six long streams over both replicas that are in their middle when it
happens. Bounds: `reliability-…` of the catalog. Needs a stage. Costs with vLLM on two cores: 100 s.
"""

from __future__ import annotations

import signal
from typing import Any

import httpx
import pytest

from instruments.slo.verdict import ObjectiveInconclusive
from instruments.telemetry.exposition import parse_exposition

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.disruptive,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("stage"),
]

PATIENCE_S = 6  # of the gateway with a silent engine, here
# A dictated engine is slow enough that long streams are in their middle when it is broken.
SLOW = ["--itl-ms", "5"]
SHAPE = {
    "pace": 10,
    "engine": {"replicas": 2, "simulator_arguments": SLOW},
    "gateway": {"settings": {"upstream": {"read_timeout_s": PATIENCE_S}}},
}
STREAMS = 6
ENGINES = ("engine", "engine-2")


@pytest.fixture(scope="module")
def pair(stage):
    """A stage of two engines alike."""
    return stage("pair", **SHAPE)


@pytest.fixture(scope="module")
def healthy(pair):
    """Asks the gateway which of the engines it calls healthy."""

    def which() -> list[str]:
        page = parse_exposition(httpx.get(pair.gateway_metrics_url, trust_env=False, timeout=5.0).text)
        return [url for url in pair.engine_urls if page.total("gateway_upstream_healthy", replica=url)]

    return which


@pytest.fixture(scope="module")
def lost(pair, endure, parts, bound, scaled_s, healthy):
    """The second replica is killed under load, and started anew."""
    second = parts.of(pair, "engine-2")

    def mend() -> None:
        parts.keep(second, bound("reliability-ended-s"))
        parts.seen(lambda: len(healthy()) == 2, bound("reliability-engine-back-s"))

    return endure(
        pair,
        "reliability.replica-lost",
        fault=lambda: second.signal(signal.SIGKILL),
        end=mend,
        lasts_s=scaled_s(10.0, 6.0),
        back_within_s=bound("reliability-engine-back-s"),
        alerts=["ReplicaUnhealthy"],
        streams=STREAMS,
    )


def test_only_what_was_at_the_lost_replica_is_lost(lost, bound):
    """When a replica dies, requests in flight at it are lost, and as good as no other"""
    found = lost.outage
    assert found.asked_meanwhile + found.good_after > 0
    assert found.lost_before == 0
    late = max(0, (found.lost_last_ns or 0) - found.broke_ns) / 1e9
    assert late <= bound("reliability-noticed-s"), f"lost {late:.1f} s after the death: {found}"
    assert any(held.is_whole for held in lost.streams), "no stream at the other replica was left alone"


def test_nothing_is_begun_twice(lost):
    """A request is put to another replica only before its first byte: no answer begins anew in its middle"""
    assert [held.beginnings for held in lost.streams] == [1] * STREAMS
    assert [held for held in lost.streams if held.looks_whole and not held.is_whole] == []
    if all(held.is_whole for held in lost.streams):
        raise ObjectiveInconclusive("every stream had ended before the replica died")


@pytest.mark.needs("gateway_metrics")
def test_a_replica_that_is_back_is_used_again(lost, pair, healthy, ask_of, bound):
    """Soon after a lost replica is back, the gateway calls it healthy, and gives it its share of requests"""
    assert healthy() == [*pair.engine_urls]
    before = [_begun(pair, url) for url in pair.engine_urls]
    for number in range(10):
        assert ask_of(pair)(f"question {number}", max_tokens=4).status == 200
    grown = [_begun(pair, url) - was for url, was in zip(pair.engine_urls, before, strict=True)]
    assert min(grown) / sum(grown) >= bound("reliability-replica-share"), grown


@pytest.mark.needs("prometheus")
def test_the_loss_of_a_replica_is_told(lost, bound):
    """The alert for a replica that is away fires within a bound"""
    for alert, after_s in lost.fired_after_s.items():
        assert after_s is not None, f"{alert} never fired"
        assert after_s <= bound("reliability-told-s"), alert


@pytest.fixture(scope="module")
def hung(pair, endure, parts, bound, scaled_s):
    """The second replica hangs under load, and goes on."""
    second = parts.of(pair, "engine-2")
    return endure(
        pair,
        "reliability.replica-hung",
        fault=lambda: second.signal(signal.SIGSTOP),
        end=lambda: second.signal(signal.SIGCONT),
        lasts_s=scaled_s(20.0, 14.0),  # two patiences of the gateway and more
        back_within_s=bound("reliability-resumed-s"),
        streams=STREAMS,
    )


def test_a_hung_replica_is_left_out(hung, bound):
    """When a replica hangs, nothing that is sent once that was noticed is lost"""
    found = hung.outage
    assert found.lost_before == 0
    late = max(0, (found.lost_last_ns or 0) - found.broke_ns) / 1e9
    assert late <= bound("reliability-hang-noticed-s"), f"lost {late:.1f} s after the hang: {found}"


@pytest.fixture(scope="module")
def rolled(pair, endure, parts, bound, healthy):
    """Both replicas are restarted under load, one after the other, each drained first."""

    def roll() -> None:
        for name in ENGINES:
            engine = parts.of(pair, name)
            engine.signal(signal.SIGTERM)
            parts.keep(engine, bound("reliability-drained-s"))
            parts.seen(lambda: len(healthy()) == 2, bound("reliability-engine-back-s"))

    return endure(
        pair,
        "reliability.rolling-restart",
        fault=roll,
        back_within_s=bound("reliability-resumed-s"),
        streams=STREAMS,
    )


def test_a_rolling_restart_breaks_no_stream(rolled, bound):
    """Replicas drained and restarted one after the other break no stream, and refuse next to nothing"""
    records = rolled.measured.run.records
    lost = [one for one in records if one.outcome != "COMPLETED"]
    assert [(one.outcome, one.error) for one in lost if one.status == 200 or one.status is None] == []
    assert [held.cut or held.error or held.tokens for held in rolled.streams if not held.is_whole] == []
    # A request that meets a connection at the moment of its closing cannot be put to another replica: it may
    # have begun. Only a gateway that is told beforehand would lose none.
    share = bound("reliability-rolled-lost-share")
    assert len(lost) <= max(1, share * len(records)), [(one.status, one.error) for one in lost]


@pytest.fixture
def ask_of(visitor, asker):
    """Questions to a stage, each over a connection that stays open."""
    return lambda on: asker(visitor(on=on), on.model)


def _begun(on: Any, url: str) -> float:
    """Requests that an engine has answered by its own count."""
    page = httpx.get(f"{url}/metrics", headers=on.headers("engine"), trust_env=False, timeout=5.0)
    return parse_exposition(page.text).total("vllm:request_success_total") or 0.0

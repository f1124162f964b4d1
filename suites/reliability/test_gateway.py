"""What does it cost when the gateway is killed, and does it go without a loss when it is told to?

Load: ten small requests a second, and four long streams that are in their middle when it happens. Bounds:
`reliability-…` of the catalog. Needs a stage. Costs with vLLM on two cores: 40 s.
"""

from __future__ import annotations

import signal

import httpx
import pytest

from instruments.records import Outcome
from instruments.slo.verdict import ObjectiveInconclusive
from instruments.telemetry.exposition import parse_exposition

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.disruptive,
    pytest.mark.claim("host-a6000", "gateway-rtx3090"),
    pytest.mark.needs("stage"),
]

# A dictated engine is slow enough that long streams are in their middle when it is broken.
SLOW = ["--itl-ms", "5"]


@pytest.fixture(scope="module")
def lone(stage):
    """A stage of one engine."""
    return stage("gateway", pace=10, engine={"simulator_arguments": SLOW})


@pytest.fixture(scope="module")
def killed(lone, endure, parts, bound, scaled_s, running):
    """The gateway is killed under load, and started anew."""
    gateway = parts.of(lone, "gateway")
    freed = []

    def mend() -> None:
        parts.keep(gateway, bound("reliability-ended-s"))

    def strike() -> None:
        gateway.signal(signal.SIGKILL)
        freed.append(parts.seen(lambda: running() == 0, bound("slot-freed-s")))

    ordeal = endure(
        lone,
        "reliability.gateway-killed",
        fault=strike,
        end=mend,
        lasts_s=scaled_s(2.0, 4.0),  # RestartSec of the unit; no less than the alert takes
        back_within_s=bound("reliability-gateway-back-s"),
        alerts=["GatewayDown"],
    )
    return ordeal, freed[0]


@pytest.fixture(scope="module")
def running(lone):
    """Asks the engine how many requests run or wait in it."""

    def count() -> float:
        answer = httpx.get(
            f"{lone.engine_url}/metrics", headers=lone.headers("engine"), trust_env=False, timeout=5.0
        )
        page = parse_exposition(answer.text)
        return sum(page.total(f"vllm:num_requests_{state}") or 0.0 for state in ("running", "waiting"))

    return count


def test_a_dead_gateway_frees_its_slots(killed):
    """What the gateway had asked of the engine is no longer generated once it is dead"""
    _, freed = killed
    assert freed, "the engine still works for a gateway that is dead"


def test_it_serves_again(killed, bound):
    """A dead gateway fails at once; soon after it is back every request is answered; before, none was lost"""
    outage = killed[0].outage
    assert outage.lost_before == 0
    if not outage.asked_meanwhile:
        raise ObjectiveInconclusive("nothing was asked while the gateway was away")
    assert outage.lost_meanwhile.get(Outcome.TIMED_OUT, 0) == 0, f"left hanging: {outage.lost_meanwhile}"
    back_s = outage.back_after_s()
    assert back_s is not None, f"nothing was answered any more: {outage}"
    assert back_s <= bound("reliability-gateway-back-s")
    assert outage.good_after > 0


@pytest.mark.needs("prometheus")
def test_the_death_of_the_gateway_is_told(killed, bound):
    """The alert for a gateway that is away fires within a bound"""
    for alert, after_s in killed[0].fired_after_s.items():
        assert after_s is not None, f"{alert} never fired"
        assert after_s <= bound("reliability-told-s"), alert


@pytest.fixture(scope="module")
def drained(lone, endure, parts, bound):
    """The gateway is told to stop while streams run, and started anew."""
    gateway = parts.of(lone, "gateway")
    went = []

    def mend() -> None:
        went.append(parts.ended(gateway, bound("reliability-drained-s")))
        gateway.again()

    ordeal = endure(
        lone,
        "reliability.gateway-drained",
        fault=lambda: gateway.signal(signal.SIGTERM),
        end=mend,
        back_within_s=bound("reliability-gateway-back-s"),
    )
    return ordeal, went[0]


def test_streams_outlive_the_order_to_stop(drained):
    """SIGTERM to the gateway: what was in flight ends whole, to the last token; later comers are told no"""
    ordeal, _ = drained
    assert [held.cut or held.error or held.tokens for held in ordeal.streams if not held.is_whole] == []
    assert ordeal.outage.lost_in_flight == 0
    lost = ordeal.outage.lost_meanwhile
    assert lost.get(Outcome.TIMED_OUT, 0) == 0, f"left hanging: {lost}"


def test_it_goes_in_good_order(drained):
    """A gateway that was told to stop ends by itself, with exit code 0"""
    assert drained[1] == "exit code 0"


@pytest.fixture(scope="module")
def log_full(lone, endure, parts, bound):
    """The gateway's files may grow no more, as on a disk that is full."""
    gateway = parts.of(lone, "gateway")
    return endure(
        lone,
        "reliability.gateway-log-full",
        fault=lambda: parts.fill_disk(gateway),
        end=lambda: parts.free_disk(gateway),
        lasts_s=2.0,
        back_within_s=bound("reliability-gateway-back-s"),
    )


def test_a_full_disk_under_its_log_costs_no_request(log_full):
    """When the gateway's log cannot be written, every request is served as before"""
    lost = [one for one in log_full.measured.run.records if one.outcome != "COMPLETED"]
    assert [(one.outcome, one.status, one.error) for one in lost] == []
    assert log_full.outage.good_after > 0
    assert all(held.is_whole for held in log_full.streams)

"""What does it cost when the engine is killed or hangs, and when is it over?

Load: ten small requests a second, and four long streams that are in their middle when it happens. A
supervisor starts the engine anew, as the units of deploy/systemd do. The engine's API server and its core are
two processes: each is killed, and each is stopped (SIGSTOP) and goes on. Bounds: `reliability-…` of the
catalog. Needs a stage. Costs with vLLM on two cores: 100 s.
"""

from __future__ import annotations

import os
import signal

import httpx
import pytest

from instruments.records import Outcome
from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.disruptive,
    pytest.mark.claim("host-a6000", "gateway-rtx3090"),
    pytest.mark.needs("stage"),
]

PATIENCE_S = 5  # of the gateway with a silent engine, here; ten minutes in deploy
# A dictated engine is slow enough that long streams are in their middle when it is broken.
SLOW = ["--itl-ms", "5"]
SHAPE = {
    "pace": 10,
    "engine": {"simulator_arguments": SLOW},
    "gateway": {"settings": {"upstream": {"read_timeout_s": PATIENCE_S}}},
}
# What is done to which process, and the alert that must come of it.
# GatewayErrors looks back for a while: first what must raise it, then what raises it too.
FAULTS = {
    "core-hung": (signal.SIGSTOP, "core", "StreamsBreak"),
    "hung": (signal.SIGSTOP, "engine", "EngineDown"),
    "killed": (signal.SIGKILL, "engine", "EngineDown"),
    "core-killed": (signal.SIGKILL, "core", "EngineDown"),
}


@pytest.fixture(scope="module")
def lone(stage):
    """A stage of one engine."""
    return stage("lone", **SHAPE)


@pytest.fixture(scope="module", params=FAULTS)
def how(request):
    """What is done to the engine."""
    return request.param


@pytest.fixture(scope="module")
def ordeal(how, lone, endure, parts, bound, scaled_s):
    """The engine is broken once in each way; its claims share what was seen."""
    number, whom, alert = FAULTS[how]
    engine = parts.of(lone, "engine")
    parts.require_well(lone)
    core = parts.core_of(engine)
    if whom == "core" and core is None:
        pytest.skip("this engine has no core process of its own")

    def strike(number: int) -> None:
        engine.signal(number if whom == "engine" else 0)  # 0: what comes of it is no death of its own
        if whom == "core":
            os.kill(core, number)

    def mend():
        if number == signal.SIGSTOP:
            strike(signal.SIGCONT)
        else:
            parts.keep(engine, bound("reliability-ended-s"))

    return endure(
        lone,
        f"reliability.engine-{how}",
        fault=lambda: strike(number),
        end=mend,
        # A hang outlasts the gateway's patience; a death RestartSec of the unit.
        lasts_s=PATIENCE_S + 4.0 if number == signal.SIGSTOP else scaled_s(10.0, 4.0),
        back_within_s=bound("reliability-engine-back-s"),
        alerts=[alert],
    )


def test_no_broken_stream_looks_whole(ordeal):
    """A stream that the engine's fault broke ends with an error or cut short, never as if it were whole"""
    assert [held for held in ordeal.streams if held.looks_whole and not held.is_whole] == []
    short = [
        one.request_id
        for one in ordeal.measured.run.records
        if one.outcome is Outcome.COMPLETED and one.completion_tokens != 16
    ]
    assert short == []
    if all(held.is_whole for held in ordeal.streams):
        raise ObjectiveInconclusive("every stream had ended before the engine broke")


def test_who_cannot_be_served_is_told_so_soon(ordeal, bound):
    """While the engine is away, requests are refused within a bound; none is left hanging"""
    lost = ordeal.outage.lost_meanwhile
    if not lost:
        raise ObjectiveInconclusive("nothing was asked in vain while the engine was away")
    assert lost.get(Outcome.TIMED_OUT, 0) == 0, f"left hanging: {lost}"
    assert ordeal.outage.refused_after_s <= bound("reliability-no-within-s")


def test_the_refusal_names_the_cause(how, ordeal):
    """A refusal is 502, 503 or 504, so that clients and ingresses know that to try again may help"""
    # An API server whose core has died says 500 itself, until it ends; the gateway passes that on.
    own = {500} if how == "core-killed" else set()
    meanwhile = [one for one in ordeal.measured.run.records if one.sent_ns >= ordeal.outage.broke_ns]
    assert {one.status for one in meanwhile if one.status} <= {200, 502, 503, 504} | own


def test_it_serves_again(how, ordeal, bound):
    """Soon after an engine's death, or the end of a hang, every request is answered; before, none was lost"""
    assert ordeal.outage.lost_before == 0
    hung = how.endswith("hung")
    back_s = ordeal.outage.back_after_s(ordeal.mended_ns if hung else None)
    assert back_s is not None, f"nothing was answered any more: {ordeal.outage}"
    assert back_s <= bound("reliability-resumed-s" if hung else "reliability-engine-back-s")
    assert ordeal.outage.good_after > 0


@pytest.mark.needs("prometheus")
def test_somebody_is_told(ordeal, bound):
    """The alert for it fires within a bound"""
    for alert, after_s in ordeal.fired_after_s.items():
        assert after_s is not None, f"{alert} never fired"
        assert after_s <= bound("reliability-told-s"), alert


@pytest.fixture(scope="module")
def stopped(lone, endure, parts, bound):
    """The engine is told to stop while streams run, and started anew."""
    engine = parts.of(lone, "engine")
    return endure(
        lone,
        "reliability.engine-stopped",
        fault=lambda: engine.signal(signal.SIGTERM),
        end=lambda: parts.keep(engine, bound("reliability-drained-s")),
        back_within_s=bound("reliability-engine-back-s"),
    )


def test_an_engine_that_is_told_to_stop_lets_its_streams_end(stopped):
    """SIGTERM to the engine: streams that had begun end whole, to the last token"""
    assert [held.cut or held.error or held.tokens for held in stopped.streams if not held.is_whole] == []


def test_ready_says_when_the_engine_is_away(lone, parts, visitor, bound):
    """/ready says 503 while the engine is stopped, and 200 again when it goes on"""
    client, engine = visitor(on=lone, key=None), parts.of(lone, "engine")
    parts.require_well(lone)
    engine.signal(signal.SIGSTOP)
    try:
        red = parts.seen(lambda: _ready(client) == 503, bound("reliability-no-within-s"))
    finally:
        engine.signal(signal.SIGCONT)
    assert red, "/ready stayed green"
    assert parts.seen(lambda: _ready(client) == 200, bound("reliability-resumed-s")), "/ready stayed red"


def _ready(client: httpx.Client) -> int | None:
    try:
        return client.get("/ready").status_code
    except httpx.HTTPError:
        return None

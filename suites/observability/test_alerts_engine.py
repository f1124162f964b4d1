"""Do the engine's alerts fire when more come than it can serve, or when it hangs, and end afterwards?

Workload: 60 to 220 users who ask again and again, on a stage whose KV cache holds 69 short answers; then its
engine's core, and the engine, are halted. Rules wait and look back 20 times faster than on a host; what they
compare with is theirs. Of a simulated engine preemptions, rejections and a stuck core are dictated.
Bounds: `alert-*` beyond the rule's own waits. Needs: a stage, Prometheus, Alertmanager. Costs: 3 minutes.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

import httpx
import pytest

from suites.observability.provocations import CROWDED, PACE

pytestmark = [
    pytest.mark.observability,
    pytest.mark.disruptive,
    pytest.mark.needs("stage", "prometheus", "alertmanager"),
    pytest.mark.claim("gateway-rtx3090", "eks-s3", "host-a6000"),
]

# A request takes one block of 512 tokens, and from its 513th token on a second one: of 69 (one more is vLLM's
# own) 64 running ones have 93 %, and 35 long ones all. Of those that run or wait there may be 190:
# when all that run end at once, and nobody has come again yet, 62 still wait.
FULL_AT_69 = ["--max-num-seqs", "64", "--block-size", "512", "--num-gpu-blocks-override", "70"]
MOST_QUEUED = ["--max-num-queued-reqs", "190"]
SHAPE = {
    "arguments": [*FULL_AT_69, *MOST_QUEUED],
    "simulator_arguments": ["--slots", "64", "--itl-ms", "150"],
    "settings": None,
}
# Which lengths fill a cache depends on who has it: the simulator keeps room for 64 whole contexts.
FULL = {False: {"tokens": 500, "spread": 150}, True: {"words": 890, "tokens": 100, "spread": 40}}
NEARLY = {False: {"tokens": 1000}, True: {"words": 975, "tokens": 40, "spread": 10}}
SHORT = {False: {"tokens": 1000}, True: {"tokens": 40}}
LASTS_S = 90.0
DICTATED = """
vllm:num_preemptions_total{model_name="dictated"} {count}
vllm:admission_rejections_total{reason="max_num_queued_reqs",model_name="dictated"} {count}
vllm:num_requests_running{model_name="dictated"} 3
vllm:generation_tokens_total{model_name="dictated"} 1000
"""


@pytest.fixture
def crowded(once, stage, watch, planted, crowd_on, scaled_s):
    """What became of each alert; under "control" what was active while four users asked."""

    def tell():
        on = stage("crowded", engine=SHAPE, ingress=None, exporter={"kind": "none"}, pace=PACE)
        watched = watch(on)
        watched.calm(60.0)
        with crowd_on(on, users=4, tokens=64):
            control = watched.quiet(scaled_s(120.0, 12.0))
        overload(on, watched, crowd_on)
        hang(on, watched, planted(on), crowd_on)
        return watched.followed, control

    return once("crowded", tell)


def overload(on, watched, crowd_on):
    """A cache that fills, one that is full, and more users than all slots and the queue may hold."""
    kind = on.simulated
    only_real = (lambda alert: []) if kind else (lambda alert: [alert])
    steps = [
        (["KvCacheFilling"], 63, FULL[kind]),
        (["RequestsWaiting", *only_real("Preemptions")], 104, SHORT[kind]),
        (["KvCacheNearlyFull", 'SloThreshold{slo="kv-cache-four-users"}'], 64, NEARLY[kind]),
        (["EngineSaturated", "QueueStaysLong", *only_real("EngineRejects")], 220, FULL[kind]),
    ]
    for alerts, users, asked in steps:
        if watched.wants(*alerts):
            with watched.provoked(*alerts) as provoked, crowd_on(on, users=users, **asked):
                provoked.wait(LASTS_S)
            watched.settled(60.0)


def hang(on, watched, parts, crowd_on):
    """The core stops while its requests run, then the whole engine."""
    stuck = ["EngineStuck", *(["Preemptions", "EngineRejects"] if on.simulated else [])]
    if watched.wants(*stuck):
        with ExitStack() as cause:
            alerts = cause.enter_context(watched.provoked(*stuck))
            if on.simulated:
                cause.enter_context(parts.shown(dictated={"engine": DICTATED}))
            else:
                cause.enter_context(crowd_on(on, users=4, tokens=1000))
                until_busy(on)
                cause.enter_context(parts.halted("engine", "EngineCore"))
            alerts.wait(LASTS_S)
        watched.settled(30.0)
    if watched.wants("EngineDown", "NoReplica"):
        with watched.provoked("EngineDown", "NoReplica") as alerts, parts.halted("engine"):
            alerts.wait(LASTS_S)
        watched.settled(30.0)


def until_busy(on, bound_s=20.0):
    """Wait until requests run: an engine that has none to run is not stuck."""
    ends_s = time.monotonic() + bound_s
    while True:
        page = httpx.get(f"{on.engine_url}/metrics", trust_env=False, timeout=5.0).text
        running = re.findall(r"^vllm:num_requests_running{.*} (\S+)$", page, flags=re.MULTILINE)
        if any(float(one) > 0 for one in running):
            return
        assert time.monotonic() < ends_s, f"no request runs {bound_s:g} s after four users asked: {running}"
        time.sleep(0.05)


def test_nothing_fires_under_a_healthy_load(crowded):
    """While four users are served no alert of any rule fires, and none is on the way to"""
    assert crowded[1] == {}


@pytest.mark.parametrize("alert", CROWDED)
def test_an_alert_of_the_engine_fires_and_arrives(crowded, bound, alert):
    """Overload fires critical saturation, each other cause its alert: pending, firing, delivered in time"""
    crowded[0][alert].require_arrived(
        bound("alert-pending-s"), bound("alert-firing-s"), bound("alert-delivered-s")
    )


@pytest.mark.parametrize("alert", CROWDED)
def test_an_alert_of_the_engine_is_resolved(crowded, bound, alert):
    """When the cause is gone the receiver is told so in time"""
    crowded[0][alert].require_resolved(bound("alert-resolved-s"))


@pytest.mark.parametrize("alert", CROWDED)
def test_what_arrives_of_the_engine_says_what_to_do(crowded, alert):
    """What arrives has the rule's severity, went to those meant, and its summary has values in it"""
    crowded[0][alert].require_told()

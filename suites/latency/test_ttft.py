"""When does the first token come: for a lone user, by the length of the prompt, and beside others?

Workloads chat-feel, ttft-16 to ttft-512, ttft-under-8 and -32, each until its objectives are decided
(objectives/latency.yaml); ttft-growth, whose bound is ttft-growth-times. A platform that promises 56 ms to
a lone user has that limit in its profile.
Needs nothing but a stack. Costs a minute and a half on two cores.
"""

from __future__ import annotations

import pytest

from instruments.slo.bounded import Bounded, ratios
from instruments.statistics.indicators import ttft_s

pytestmark = pytest.mark.ttft


@pytest.mark.claim("minikube-rtx3060", "host-a6000", "gateway-rtx3090")
@pytest.mark.judged("latency")
def test_objective_is_met(objective, measure, judge):
    """The first token comes in time: the objective is met"""
    judge(measure(objective.workload), objective).require_met()


@pytest.mark.claim("nobody")
def test_ttft_grows_no_faster_than_the_prompt(measure, bound):
    """A prompt eight times as long takes at most so many times as long to its first token, pair by pair"""
    records = measure("ttft-growth").summary.records
    found = Bounded.median(
        "TTFT of 512 tokens over that of 64", ratios(records, ttft_s, "long", "short"), "times"
    )
    found.require_at_most(bound("ttft-growth-times"))

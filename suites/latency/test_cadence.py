"""How evenly do tokens come: the pace, the gaps, stalls, and what lies between engine and client?

Workload cadence until its objectives (objectives/cadence.yaml) are decided; all claims look at that one run.
Bounds stall-s and stall-share. The last claim needs the engine's own numbers, and a stack for itself alone.
Costs half a minute on two cores.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from instruments.records import Outcome
from instruments.slo.bounded import Bounded
from instruments.statistics.indicators import chunk_gap_s
from instruments.statistics.quantiles import quantile
from instruments.telemetry.histograms import between

pytestmark = pytest.mark.ttft

WORKLOAD = "cadence"
GAPS = "vllm:inter_token_latency_seconds"


@pytest.mark.claim("host-a6000", "gateway-rtx3090")
@pytest.mark.judged("cadence")
def test_objective_is_met(objective, measure, judge):
    """Tokens come at their pace: the objective is met"""
    judge(measure(objective.workload), objective).require_met()


@pytest.mark.claim("nobody")
def test_streams_do_not_stall(measure, bound):
    """Hardly a stream has a gap that a reader would call a stall; one that broke off is one"""
    records = measure(WORKLOAD).summary.records
    stalled = [
        record
        for record in records
        if record.outcome is not Outcome.COMPLETED or max(chunk_gap_s(record), default=0.0) > bound("stall-s")
    ]
    found = Bounded.share("streams that stalled or broke off", len(stalled), len(records), "streams")
    found.require_at_most(bound("stall-share"))


@pytest.mark.claim("nobody")
@pytest.mark.needs("engine_metrics", "exclusive")
@pytest.mark.parametrize("p", [0.5, 0.9], ids=["p50", "p90"])
def test_tokens_arrive_as_they_are_made(measure, p):
    """The gap between two tokens is the same at the client as in the engine's histogram, to a bucket"""
    measured = measure(WORKLOAD)
    made = between(measured.before, measured.after, GAPS)
    arrived = quantile(measured.summary.chunk_gap_s, p)
    assert made is not None, f"the engine has no {GAPS}"
    assert arrived is not None, "no gap was seen"
    bucket = made.quantile_interval(p)
    assert bucket is not None, f"{GAPS} observed nothing"
    low, high = widened(made.bounds, bucket)
    assert low <= arrived <= high, f"{arrived:.4f} s at the client; the engine's own is in {bucket} s"


@pytest.mark.claim("nobody")
@pytest.mark.needs("engine_metrics", "exclusive")
def test_streams_take_as_long_as_they_were_made(measure, bound):
    """From first token to last as much time passes at the clients as the engine counted for its gaps"""
    measured = measure(WORKLOAD)
    made = between(measured.before, measured.after, GAPS)
    assert made is not None, f"the engine has no {GAPS}"
    assert made.sum, f"{GAPS} observed nothing"
    arrived_s = sum(sum(chunk_gap_s(record)) for record in measured.run.records)
    times, most = arrived_s / made.sum, bound("gap-times")
    assert 1 / most <= times <= most, (
        f"{arrived_s:.2f} s at the clients are {times:.2f} times the engine's {made.sum:.2f} s"
    )


def widened(bounds: Sequence[float], bucket: tuple[float, float]) -> tuple[float, float]:
    """A bucket with both its neighbours: (0.01, 0.025) becomes (0.005, 0.05)."""
    edges = [0.0, *bounds, float("inf")]
    low, high = (edges.index(edge) for edge in bucket)
    return edges[max(0, low - 1)], edges[min(len(edges) - 1, high + 1)]

"""Does it keep up with what is asked, when nobody waits for an answer before asking again?

Workload: `rate-*`: 4, 8 and 16 requests a second, evenly and at random (Poisson). Objectives: `rates`, with
latency from when a request was due. Bound: `rates-drained-s`. Needs nothing beyond a key. Costs half a
minute.
"""

from __future__ import annotations

import pytest

from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [pytest.mark.sweep, pytest.mark.claim("nobody")]


@pytest.mark.judged("rates")
def test_objective_is_met(objective, measure, judge):
    """At this rate the objective is met, counted from when a request was due"""
    judge(measure(objective.workload), objective).require_met()


@pytest.mark.parametrize("kind", ["constant", "poisson"])
@pytest.mark.parametrize("rate", [4, 8, 16])
def test_it_keeps_up_with_what_is_offered(measure, bound, kind, rate):
    """What is offered is sent, and answered as it comes: no backlog is left when the last request was due"""
    summary = measure(f"rate-{kind}-{rate}").summary
    if why := (*summary.void, *summary.apart):
        raise ObjectiveInconclusive("the client did not send what was offered", seen="; ".join(why))
    last_due = max(one.due_ns for one in summary.records)
    ended = [one.done_ns for one in summary.records]
    assert None not in ended, f"{ended.count(None)} of {len(ended)} requests never ended"
    drained_s = (max(ended) - last_due) / 1e9
    assert drained_s <= bound("rates-drained-s"), f"the backlog took {drained_s:.1f} s at {rate} a second"

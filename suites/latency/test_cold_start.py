"""How long until a stack is ready, and what does the first request pay?

A stage of this place's own shape, stood up for this, and the workload first-after-start on it. Bounds
cold-start-s and first-request-penalty-s, which a place with weights to load replaces. Costs a start.
"""

from __future__ import annotations

from statistics import median

import pytest

from instruments.records import Outcome
from instruments.statistics.indicators import e2e_s

pytestmark = [pytest.mark.ttft, pytest.mark.needs("stage")]


@pytest.mark.claim("eks-s3", "host-a6000")
def test_a_cold_start_keeps_its_budget(stage, bound):
    """From the first process to a ready answer at the way in takes no longer than the budget of a start"""
    ready_s = dict(stage("cold").startup_s)
    serving_s = {part: ready_s[part] for part in ("engine", "gateway", "ingress") if part in ready_s}
    assert serving_s, "nobody timed the start"
    assert max(serving_s.values()) <= bound("cold-start-s"), f"ready after, by part: {ready_s}"


@pytest.mark.claim("nobody")
def test_the_first_request_pays_little(stage, load_on, bound):
    """Once a stack says that it is ready, its first answer takes hardly longer than later ones"""
    measured = load_on(stage("cold"), "first-after-start", name="latency.first")
    records = sorted(measured.summary.records, key=lambda record: record.due_ns)
    assert {record.outcome for record in records} == {Outcome.COMPLETED}
    first, *later = [e2e_s(record) or 0.0 for record in records]
    penalty_s = first - median(later)
    assert penalty_s <= bound("first-request-penalty-s"), (
        f"the first took {first:.3f} s, the median of {len(later)} later ones is {median(later):.3f} s"
    )

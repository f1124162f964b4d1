"""Does it stand up to all the users that were promised, and to more of them than it has slots for?

Workload: the sweep's steps of 64 users and the baseline of 100, not run again. Objectives: `platforms`:
what each place has promised of its own hardware, 48 requests a second short and 15 long for minikube's RTX
3060, and zero errors everywhere. Bound: `stress-drained-s`. Costs a minute by itself, next to nothing after
the sweep.
"""

from __future__ import annotations

import time

import pytest

from instruments.records import Outcome

pytestmark = [
    pytest.mark.sweep,
    pytest.mark.stress,
    pytest.mark.slow,
    pytest.mark.claim("minikube-rtx3060", "host-a6000", "eks-s3"),
]

STRESS = ["sweep-short-64", "sweep-long-64", "baseline-100"]


@pytest.mark.judged("platforms")
def test_what_the_platform_promised_is_kept(objective, measure, judge):
    """The platform's own promise is kept on its own hardware"""
    judge(measure(objective.workload), objective).require_met()


@pytest.mark.parametrize("workload", STRESS)
def test_everybody_is_answered_to_the_last_token(measure, workload):
    """With every slot taken, each answer has exactly the tokens that were asked for"""
    measured = measure(workload)
    assert measured.run.complete, measured.run.stopped_because
    ended = {one.outcome for one in measured.run.records}
    assert ended == {Outcome.COMPLETED}, [one.error for one in measured.run.records if one.error][:3]
    lengths = {one.completion_tokens for one in measured.run.records}
    assert lengths == {measured.workload.output_tokens}


@pytest.mark.needs("engine_metrics", "exclusive")
@pytest.mark.parametrize("workload", STRESS)
def test_the_queue_drains(measure, scrape, bound, workload):
    """When the last answer is there nothing runs and nothing waits: no slot is kept by anybody"""
    measure(workload)
    deadline = time.monotonic() + bound("stress-drained-s")
    while True:
        found = scrape.snapshot()
        left = [found.total(f"vllm:num_requests_{what}") for what in ("running", "waiting")]
        if left == [0, 0] or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert left == [0, 0], f"running and waiting {bound('stress-drained-s'):g} s after the load: {left}"

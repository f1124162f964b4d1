"""What does it bear, step by step? Answers of 64, 128 and 256 tokens for 1 to 64 users.

Workload: `sweep-*`, 21 closed loops, each user sending again when it has its answer. Objectives: `sweep`:
nothing is lost at any step, and what minikube has published of its steps. Bound:
`sweep-throughput-kept-share`. Needs nothing beyond a key. Costs three minutes on two cores at a tenth. The
client's own checks (send lag, Little's law) come with each run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from instruments.records import LoadRun, Phase, RequestRecord
from instruments.slo.verdict import ObjectiveInconclusive
from instruments.statistics.means import mean_bounds

pytestmark = [pytest.mark.sweep, pytest.mark.slow, pytest.mark.claim("minikube-rtx3060")]

STEPS = (1, 2, 4, 8, 16, 32, 64)
SLICES = 1000  # fifty batches of neighbours
ERROR = 0.01  # of each end of an interval: of six comparisons of two ends a tenth may be wrong


@pytest.mark.judged("sweep")
def test_objective_is_met(objective, measure, judge):
    """At this step the objective is met: every answer arrives whole"""
    judge(measure(objective.workload), objective).require_met()


@pytest.mark.parametrize("length", ["short", "medium", "long"])
def test_more_users_do_not_lower_the_throughput(measure, bound, told, length):
    """Tokens a second grow with the users or stay: no step falls behind the best of those with fewer"""
    kept = bound("sweep-throughput-kept-share")
    steps = {users: throughput(measure(f"sweep-{length}-{users}").run) for users in STEPS}
    lines = [
        f"  {users} users: {one.mean:.0f} [{one.low:.0f}, {one.high:.0f}]" for users, one in steps.items()
    ]
    told(f"throughput, {length}", "\n".join([f"tokens a second, {length} answers", *lines]))
    best = steps[STEPS[0]]
    for users in STEPS[1:]:
        here = steps[users]
        assert here.high >= kept * best.low, f"{users} users: {here} where fewer had {best}"
        if here.mean < kept * best.mean:
            raise ObjectiveInconclusive(
                f"the throughput may fall at {users} users", expected=f"{kept:g} of {best}", seen=f"{here}"
            )
        best = max(best, here, key=lambda one: one.mean)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Tokens per second, with the bounds of the mean."""

    low: float
    mean: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.0f} [{self.low:.0f}, {self.high:.0f}] tokens/s"


def throughput(run: LoadRun) -> Throughput:
    """While all users were at work, from first to last measured sending: tokens in slices of it.

    Requests are too few for an interval, and in step with each other.
    """
    measured = (one for one in run.records if one.phase is Phase.MEASURED)
    sent = [one.sent_ns for one in measured if one.sent_ns is not None]
    begin, end = min(sent, default=0), max(sent, default=0)
    arrived = [pair for record in run.records for pair in arrivals(record) if begin <= pair[0] < end]
    if not arrived:
        raise ObjectiveInconclusive("no token arrived while requests were sent", seen=f"{len(sent)} sent")
    counts = [0.0] * SLICES
    for at, tokens in arrived:
        counts[(at - begin) * SLICES // (end - begin)] += tokens
    slice_s = (end - begin) / 1e9 / SLICES
    bounds = mean_bounds([count / slice_s for count in counts], ERROR, ERROR)
    assert bounds is not None, "so many slices have an interval"
    return Throughput(bounds[0], sum(counts) / slice_s / SLICES, bounds[1])


def arrivals(record: RequestRecord) -> Iterable[tuple[int, float]]:
    """When its tokens came, in nanoseconds, and how many; evenly over its chunks where nobody says."""
    chunks = len(record.chunks_ns)
    each = (record.completion_tokens or chunks) / max(1, chunks)
    return zip(record.chunks_ns, record.chunk_tokens or (each,) * chunks, strict=True)

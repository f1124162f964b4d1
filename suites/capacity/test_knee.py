"""How many users does it bear, and is that at least what was promised?

Workload: `knee`, at as many users as the search chooses. Objectives: `knee`, all of them held at each
level. Bounds: `capacity-users` is the promise of the place, `capacity-users-most` where the search ends.
The answer is an interval with its confidence, kept as capacity/knee/capacity.json with the journals of all
probes. Costs a minute.
"""

from __future__ import annotations

import pytest

from instruments.slo import State
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated

pytestmark = [pytest.mark.sweep, pytest.mark.slow, pytest.mark.claim("nobody")]


@pytest.mark.judged("knee")
def test_a_few_users_are_served_well(objective, measure, judge):
    """A few users are far below the knee: the objective that the search holds is met for them"""
    judge(measure(objective.workload), objective).require_met()


def test_the_promised_users_are_below_the_knee(capacity, bound):
    """The knee lies at or above the number of users that was promised"""
    promise = bound("capacity-users")
    found = capacity("knee", promise=promise, highest=bound("capacity-users-most"))
    state = found.promise(promise)
    if state is State.MET:
        return
    kind = ObjectiveViolated if state is State.VIOLATED else ObjectiveInconclusive
    tried = "; ".join(f"{one.level:g}: {one.state} ({one.evidence})" for one in found.probes)
    raise kind(f"{promise:g} users: {found.reason}", expected="every objective of the search met", seen=tried)

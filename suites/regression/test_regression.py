"""Is this build as fast as the other: as itself, as a candidate beside it, as the baseline that was kept?

Workloads: `regression-block` in pairs whose order is drawn (e2e p50, failures too), until decided;
`regression` for each saved run. Bounds: regression-tolerance (no difference), regression-pairs (the budget).
--candidate-url URL is compared with this stack, without it a second stack of this very build; --baseline
FILE, of `python -m instruments compare`, with a run. Needs: nobody else's load. Costs a minute, and a stage.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from instruments.slo.baseline import first_baseline
from instruments.slo.comparison import Comparison
from instruments.slo.regression import Regression, RegressionRule, judge_runs
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated
from instruments.statistics.comparison import Change

pytestmark = [
    pytest.mark.regression,
    pytest.mark.needs("exclusive"),
    pytest.mark.claim("gateway-rtx3090", "nobody"),
]

RUNS = 3  # with fewer nobody knows how much two runs of one build differ


def test_a_stack_is_no_different_from_itself(compared):
    """The control: put beside itself the stack shows no difference, else no other comparison says anything"""
    found = compared("itself")
    if found.change in (Change.WORSE, Change.BETTER):
        raise ObjectiveViolated(f"{found.change} than itself: {found.reason}", seen=found.measured())
    equivalent(found)


def test_the_candidate_is_no_slower(compared, candidate):
    """The candidate is no slower than this stack, within the tolerance, and fails no more requests"""
    found = compared("candidate", candidate)
    if found.change is Change.WORSE:
        raise ObjectiveViolated(f"the candidate is {found.change}: {found.reason}", seen=found.measured())
    equivalent(found)


def test_a_run_is_no_worse_than_those_before_it(run_to_save, bound):
    """Beside three runs just before the next one is not worse: nothing gets slower by itself"""
    kept = first_baseline([run_to_save(f"kept-{number + 1}") for number in range(RUNS)], at="")
    found = judge_runs(kept, [run_to_save("next")], rule(bound))
    assert found.rows, "nothing was compared"
    if found.change is Change.WORSE:
        raise ObjectiveViolated(f"WORSE than three runs just before: {found.reason}", seen=told(found))


def test_this_build_is_no_worse_than_the_baseline(baseline, run_to_save, bound):
    """This build is no worse than the baseline that was kept, neither than its anchor nor than its latest"""
    runs = [run_to_save(f"this-{number + 1}") for number in range(RUNS)]
    found = judge_runs(baseline, runs, rule(bound))
    if found.change is Change.WORSE:
        raise ObjectiveViolated(f"WORSE than the baseline: {found.reason}", seen=told(found))
    if found.change is Change.INCONCLUSIVE:
        raise ObjectiveInconclusive(f"INCONCLUSIVE: {found.reason}", seen=told(found))


def rule(bound: Callable[[str], float]) -> RegressionRule:
    """What counts as worse at this place."""
    share = bound("regression-error-share")
    return RegressionRule(tolerance=bound("regression-tolerance"), error_tolerance=share)


def equivalent(found: Comparison) -> None:
    """Raise unless the whole interval of the difference lies within the tolerance, or is better."""
    if found.change is Change.INCONCLUSIVE:
        raise ObjectiveInconclusive(f"INCONCLUSIVE: {found.reason}", seen=found.measured())


def told(found: Regression) -> str:
    """The figures that decided, a line each."""
    rows = [row for row in found.rows if row.change is found.change] or found.rows
    return "\n".join(f"{row.figure}: {row.value} [{row.low}, {row.high}] {row.reason}" for row in rows)

"""Sampling until decided: more requests until the product's own judging decides, or none are left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.gate.laws import Draw, Law, limit_at
from instruments.slo.finding import OPEN_MET
from instruments.slo.of_requests import judge_values
from instruments.slo.verdict import State
from instruments.statistics.correlation import Values, effective_share_of_bad
from instruments.statistics.shares import Answer, Looks, Rule, evidence, look_sizes

FAMILY = 20  # objectives in a gate
CONFIDENCE = 0.99  # of a gate's objectives


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is sampled: it never ends before `fewest` requests, and never goes on beyond `most`.

    `judged`: of an unsettled law's looks, each at 5 % more requests, one in so many is judged.
    """

    fewest: int = 2_000
    most: int = 200_000
    judged: int = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A quantile of a law, and where it truly lies beside its limit: `place` −0.05 is 5 % inside."""

    law: Law
    p: float
    place: float
    settled: bool = True  # the law has nothing that a judge could cut off

    @property
    def name(self) -> str:
        return f"{self.law.name} p{100 * self.p:g}"

    @property
    def limit(self) -> float:
        return limit_at(self.law, self.p, self.place)

    @property
    def allowed(self) -> float:
        """Share of requests that may be over the limit."""
        return 1 - self.p

    def rule(self) -> Rule:
        """As instruments.slo.finding.Case has it of an objective in such a gate."""
        doubt = 1 - CONFIDENCE
        return Rule(self.allowed, doubt * OPEN_MET, doubt / FAMILY, Looks.OPEN)

    def sampled(self, random: np.random.Generator, plan: Plan) -> tuple[State, int]:
        """The verdict on one run of its own, and how many requests it took."""
        return until_decided(
            self.law.start(random), self.limit, self.rule(), plan, unsettled=not self.settled
        )


def until_decided(
    draw: Draw, limit: float, rule: Rule, plan: Plan, *, unsettled: bool = False
) -> tuple[State, int]:
    """Sample until the product's judging decides: its state, and after how many requests.

    Looks are passed over at which the evidence of all values would not do: of a law that has nothing to be
    cut off, judging them could decide nothing (a test holds the two together). Of an `unsettled` one every
    few looks are judged, whatever the evidence.
    """
    values, bad, done = np.empty(plan.most), 0, 0
    for look, size in enumerate(look_sizes(plan.fewest, plan.most)):
        values[done:size] = draw(size - done)
        bad += int((values[done:size] > limit).sum())
        done = size
        due = look % plan.judged == 0 if unsettled else _may_decide(values[:size], bad, limit, rule)
        if due:
            state = judge_values(values[:size], limit, rule).state
            if state is not State.INCONCLUSIVE:
                return state, size
    return State.INCONCLUSIVE, done


def _may_decide(values: Values, bad: int, limit: float, rule: Rule) -> bool:
    n = len(values)
    if evidence(bad, n, rule) is Answer.UNKNOWN:  # correlation could only weaken it
        return False
    worth = effective_share_of_bad(values, limit)
    return evidence(bad * worth, n * worth, rule) is not Answer.UNKNOWN

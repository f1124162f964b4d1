"""Findings: what one way of judging comes to, before anything is said of the run as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.verdict import State
from instruments.statistics.shares import Answer, Looks, Rule, ShareAnswer
from instruments.statistics.summary import RunSummary

STATES = {Answer.BELOW: State.MET, Answer.ABOVE: State.VIOLATED, Answer.UNKNOWN: State.INCONCLUSIVE}
OPEN_MET = 0.1
COUNTED = "counted, not estimated"
TESTS = {
    Looks.PLANNED: "exact binomial test at the planned size",
    Looks.OPEN: "sequential evidence, valid at every look",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A state with what it rests on; the fields are those of a Verdict."""

    state: State
    reason: str
    requests: int = 0
    bad: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    more: int | None = None
    effective: float | None = None
    trimmed: int = 0
    test: str = ""
    too_few: bool = False  # nothing but more of the same would decide it


@dataclass(frozen=True, slots=True)
class Case:
    """One objective on one run, and how it is asked.

    `late_s` is added to every latency: what a client's late stamps may hide. `left_bad`: clients that left
    before their latency was known count as over the limit, for they may have been.
    """

    summary: RunSummary
    objective: ServiceLevelObjective
    family: int = 1
    late_s: float = 0.0
    left_bad: bool = False

    @property
    def looks(self) -> Looks:
        return Looks.OPEN if self.summary.anytime else Looks.PLANNED

    @property
    def met_error(self) -> float:
        """The chance of a false MET. A gate passes only if every objective is met: no correction is due.

        Where sampling goes on until it is decided, ten times surer of a pass is a third more requests.
        """
        return (1 - self.objective.confidence) * (OPEN_MET if self.looks is Looks.OPEN else 1.0)

    @property
    def violated_error(self) -> float:
        """The chance of a false VIOLATED: its share of what the whole family may be wrong by (Bonferroni)."""
        return (1 - self.objective.confidence) / max(1, self.family)

    def rule(self) -> Rule:
        return Rule(self.objective.bad_share, self.met_error, self.violated_error, self.looks)


def told(answer: ShareAnswer, allowed: float, noun: str) -> str:
    """The reason in words: how many were bad, and of how many that is a share."""
    said = f"{answer.bad:,} of {answer.requests:,} {noun} bad where {allowed * 100:.3g} % of all may be"
    if answer.effective < 0.995 * answer.requests:
        said += f" ({noun} hang together: they say as much as {answer.effective:,.0f} independent ones)"
    return f"too few {noun} to tell: {said}" if answer.answer is Answer.UNKNOWN else said


def undecidable(reason: str) -> Finding:
    return Finding(State.INCONCLUSIVE, reason)

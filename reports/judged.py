"""Judged objectives: each verdict as the session stored it, beside the one its journal gives today."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isclose

from instruments.slo import ServiceLevelObjective, State, Verdict, evaluate
from instruments.slo.objective import family_size
from reports.loads import MALFORMED, Load, find

_WORST_FIRST = (State.VIOLATED, State.INCONCLUSIVE, State.MET)
_RESTS_ON = ("state", "requests", "bad", "value", "low", "high", "trimmed")


@dataclass(frozen=True, slots=True)
class Judged:
    """One objective on one load. `verdict` holds the numbers to show, `state` what may be claimed."""

    verdict: Verdict
    state: State
    reason: str
    journal: str | None
    claim: str | None = None  # the test that asked; None when judged later with other objectives
    problem: str | None = None  # why stored and recomputed verdict do not agree

    @property
    def objective(self) -> ServiceLevelObjective:
        return self.verdict.objective


def judge_stored(stored: Iterable[tuple[Verdict, str, str]], loads: Sequence[Load]) -> list[Judged]:
    """Recompute every stored verdict from its journal."""
    return [_again(verdict, journal, claim, find(loads, journal)) for verdict, journal, claim in stored]


def judge_with(objectives: Iterable[ServiceLevelObjective], loads: Sequence[Load]) -> list[Judged]:
    """Judge other objectives on the loads of their workload; one without a load is INCONCLUSIVE."""
    judged: list[Judged] = []
    objectives = tuple(objectives)
    for objective in objectives:
        matching = [load for load in loads if load.workload_id == objective.workload]
        for load in matching:
            verdict = evaluate(load.summary, objective, family=family_size(objectives, objective))
            judged.append(Judged(verdict, verdict.state, verdict.reason, load.journal))
        if not matching:
            why = f"no load of the workload {objective.workload!r} can be read in this run"
            nothing = Verdict(objective, "–", State.INCONCLUSIVE, why, 0, 0)
            judged.append(Judged(nothing, nothing.state, why, None))
    return judged


def _again(stored: Verdict, journal: str, claim: str, load: Load | None) -> Judged:
    if load is None:
        return _unsupported(stored, journal, claim, f"{journal} is missing or cannot be read")
    try:
        verdict = evaluate(load.summary, stored.objective, family=stored.family)
    except MALFORMED as error:
        return _unsupported(stored, journal, claim, f"{journal} cannot be judged: {error}")
    differing = _differing(stored, verdict)
    if differing is None:
        return Judged(verdict, verdict.state, verdict.reason, journal, claim)
    problem = f"{stored.objective.id}: stored and recomputed verdict differ in {differing}"
    state = min(stored.state, verdict.state, key=_WORST_FIRST.index)
    reason = verdict.reason
    if verdict.state is not state:
        reason = f"stored as {stored.state}; its journal now gives {verdict.state}: {verdict.reason}"
    return Judged(verdict, state, reason, journal, claim, problem)


def _unsupported(stored: Verdict, journal: str, claim: str, why: str) -> Judged:
    """A verdict without its records: a MET is not claimed any more, a broken objective stays broken."""
    state, reason = stored.state, stored.reason
    if state is State.MET:
        state, reason = State.INCONCLUSIVE, f"stored as MET, but {why}"
    return Judged(stored, state, reason, journal, claim, f"{stored.objective.id}: {why}")


def _differing(stored: Verdict, again: Verdict) -> str | None:
    """The first fields that differ, in words, or None."""
    for name in _RESTS_ON:
        before, now = getattr(stored, name), getattr(again, name)
        if not _same(before, now):
            return f"{name}: stored {_shown(before)}, recomputed {_shown(now)}"
    return None


def _same(one: object, other: object) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other


def _shown(value: object) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

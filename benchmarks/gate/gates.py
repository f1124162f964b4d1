"""Whole gates: of an unchanged system, of one with a fault, at the limit, and of one that never settles.

Each objective has a run of its own. Where several share one, it ends when the last of them is decided, and
what follows an early error makes it good: errors are then fewer than here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from benchmarks.gate.figures import Figure, Share, Size, at_least, at_most
from benchmarks.gate.laws import CORRELATED, INDEPENDENT, SETTLING, Rising
from benchmarks.gate.sampling import CONFIDENCE, FAMILY, Plan, Target
from benchmarks.gate.trials import Trial
from instruments.slo.verdict import State

INSIDE, OUTSIDE = -0.05, 0.10
QUANTILES = (0.5, 0.9, 0.95, 0.99)
LETTER = {State.MET: "M", State.VIOLATED: "V", State.INCONCLUSIVE: "I"}

GATE, LIMIT = Plan(2_000, 200_000), Plan(2_000, 50_000)
RISE, EARLY = Plan(2_000, 20_000, judged=1), Plan(1_000, 20_000, judged=1)

# The twenty of a gate: four quantiles of each of five laws.
TARGETS = tuple(
    Target(law, p, INSIDE, settled=law is not SETTLING)
    for law in (*INDEPENDENT, CORRELATED, SETTLING)
    for p in QUANTILES
)
assert len(TARGETS) == FAMILY


@dataclass(frozen=True, slots=True)
class Gate:
    """All twenty objectives at one place beside their limits."""

    name: str
    place: float
    plan: Plan = GATE

    def once(self, random: np.random.Generator, repetition: int) -> Trial:
        runs = [replace(target, place=self.place).sampled(random, self.plan) for target in TARGETS]
        return "".join(LETTER[state] for state, _ in runs), tuple(requests for _, requests in runs)


@dataclass(frozen=True, slots=True)
class Changed:
    """The one objective of a gate that is outside its limit: in repetition r the r-th of the twenty, in turn.

    The other nineteen are those of `Gate`: whatever becomes of them, a gate passes only if this one is MET.
    """

    name: str = "one outside"
    place: float = OUTSIDE
    plan: Plan = GATE

    def once(self, random: np.random.Generator, repetition: int) -> Trial:
        target = replace(TARGETS[repetition % FAMILY], place=self.place)
        state, requests = target.sampled(random, self.plan)
        return LETTER[state], (requests,)


@dataclass(frozen=True, slots=True)
class NeverSteady:
    """One objective on a system that gets slower for as long as one looks; its place is that of the start."""

    name: str
    law: Rising
    place: float
    plan: Plan = RISE

    def once(self, random: np.random.Generator, repetition: int) -> Trial:
        state, requests = self.target(repetition).sampled(random, self.plan)
        return LETTER[state], (requests,)

    def target(self, repetition: int) -> Target:
        return Target(self.law, QUANTILES[repetition % len(QUANTILES)], self.place, settled=False)


UNCHANGED, AT_LIMIT, ONE_OUTSIDE = Gate("unchanged", INSIDE), Gate("at the limit", 0.0, LIMIT), Changed()
FAST_RISES = (
    NeverSteady("+40 % in 2,000 requests, 5 % inside at first", Rising(doubling=5_000), INSIDE),
    NeverSteady("+40 % in 2,000 requests, 30 % inside at first", Rising(doubling=5_000), -0.30),
)
SLOW_RISES = (
    NeverSteady("+10 % in 2,000 requests, 10 % inside at first", Rising(doubling=20_000), -0.10),
    NeverSteady("+20 % in 1,000 requests, 30 % inside at first", Rising(doubling=5_000), -0.30, EARLY),
)


def unchanged(trials: Sequence[Trial]) -> Iterator[Figure]:
    """Gates of twenty over all laws; of one law alone, five of the same gates together; each objective."""
    section = "unchanged system, all 20 objectives 5 % inside"
    false = sum("V" in letters for letters, _ in trials)
    yield Share(section, "gates with any false VIOLATED, all laws", false, len(trials), at_most(0.01))
    for first in range(0, FAMILY, len(QUANTILES)):
        alone = [letters[first : first + len(QUANTILES)] for letters, _ in trials]
        gates = [alone[one : one + 5] for one in range(0, len(alone) - len(alone) % 5, 5)]
        false = sum("V" in "".join(gate) for gate in gates)
        name = f"gates with any false VIOLATED, {TARGETS[first].law.name} alone"
        yield Share(section, name, false, len(gates), at_most(0.01))
    passed = sum(set(letters) == {"M"} for letters, _ in trials)
    yield Share(section, "gates that pass", passed, len(trials))
    for state, letter in (("MET", "M"), ("VIOLATED", "V"), ("INCONCLUSIVE", "I")):
        yield from _each(section, state, letter, trials)
    yield from _taken(section, trials, INSIDE)


def one_outside(trials: Sequence[Trial]) -> Iterator[Figure]:
    section = "one of 20 objectives 10 % outside"
    letters = "".join(letter for letter, _ in trials)
    yield Share(section, "gates VIOLATED", letters.count("V"), len(letters), at_least(0.99))
    yield Share(
        section,
        "gates that could pass: that one MET",
        letters.count("M"),
        len(letters),
        at_most(0.001),
    )
    for one, target in enumerate(TARGETS):
        mine = letters[one::FAMILY]
        yield Share(section, "VIOLATED", mine.count("V"), len(mine), row=target.name)
    for one, target in enumerate(TARGETS):
        taken = [requests for _, (requests,) in trials[one::FAMILY]]
        yield Size.taken(section, "requests", taken, fixed_size(target, OUTSIDE), target.name)


def at_limit(trials: Sequence[Trial]) -> Iterator[Figure]:
    section = "all 20 objectives exactly at the limit"
    false = sum("V" in letters for letters, _ in trials)
    yield Share(section, "gates with any VIOLATED", false, len(trials), at_most(1 - CONFIDENCE))
    yield Share(section, "gates that pass", sum(set(letters) == {"M"} for letters, _ in trials), len(trials))
    every = "".join(letters for letters, _ in trials)
    for letter, state in (("M", "MET"), ("V", "VIOLATED"), ("I", "INCONCLUSIVE")):
        goal = at_most(1 - CONFIDENCE) if letter == "M" else None
        yield Share(section, f"objectives {state}", every.count(letter), len(every), goal)
    yield from _each(section, "VIOLATED", "V", trials)


def never_steady(experiment: NeverSteady, trials: Sequence[Trial]) -> Iterator[Figure]:
    """What is false is told by the law: its share over the limit until then, and that of the last request.

    A system that gets slower is to be voided while it is inside, and may be VIOLATED when it is not.
    """
    section = f"a system that never settles: {experiment.name}"
    told, law = Counter(letter for letter, _ in trials), experiment.law
    false: Counter[str] = Counter()
    for repetition, (letter, (requests,)) in enumerate(trials):
        target = experiment.target(repetition)
        seen, last = (of(target.limit, requests) for of in (law.share_over_until, law.share_over_at))
        false["M"] += letter == "M" and seen > target.allowed
        false["V"] += letter == "V" and last <= target.allowed
    n, never = len(trials), at_most(0.001)
    fast = experiment in FAST_RISES
    yield Share(section, "MET", told["M"], n, never if fast else None)
    yield Share(section, "MET though what was seen was outside", false["M"], n, never)
    yield Share(section, "VIOLATED before it was ever outside", false["V"], n, never)
    yield Share(section, "VIOLATED", told["V"], n)
    yield Share(section, "INCONCLUSIVE", told["I"], n)


def fixed_size(target: Target, place: float) -> int:
    """Requests that one test of fixed size needs: an error as the gate's objectives have it, power 99 %.

    The share over the limit against what is allowed, by the normal law. Correlated requests count by what
    they are worth, which is not taken off here.
    """
    share, allowed = (
        replace(target, place=place).law.share_over(replace(target, place=place).limit),
        target.allowed,
    )
    rule = target.rule()
    error = rule.below_error if place < 0 else rule.above_error
    z, power = NormalDist().inv_cdf(1 - error), NormalDist().inv_cdf(0.99)
    spread = z * (allowed * (1 - allowed)) ** 0.5 + power * (share * (1 - share)) ** 0.5
    return int((spread / (share - allowed)) ** 2) + 1


def _each(section: str, state: str, letter: str, trials: Sequence[Trial]) -> Iterator[Share]:
    for one, target in enumerate(TARGETS):
        count = sum(letters[one] == letter for letters, _ in trials)
        yield Share(section, state, count, len(trials), row=target.name)


def _taken(section: str, trials: Sequence[Trial], place: float) -> Iterator[Size]:
    for one, target in enumerate(TARGETS):
        taken = [requests[one] for _, requests in trials]
        yield Size.taken(section, "requests", taken, fixed_size(target, place), target.name)

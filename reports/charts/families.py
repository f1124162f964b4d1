"""Families of loads that differ in their number of users only: what becomes of latency and throughput."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from reports.latency import Estimate, sample
from reports.loads import Load

FEWEST_LEVELS = 3
MOST_NAMED = 4
_OF_A_LEVEL = re.compile(r"id|description|users|requests_\w+")
_SAME_STACK = ("model", "base_url", "simulated", "open_loop", "vocabulary")


@dataclass(frozen=True, slots=True)
class Level:
    """One load of a family. TTFT of all that were due, those that failed slower than all others."""

    users: int
    load: Load
    ttft_p50: Estimate
    ttft_p95: Estimate

    @property
    def doubt(self) -> str:
        """Why its numbers are not those of a whole load, measured well; empty where they are."""
        return "void" if self.load.summary.void else "" if self.load.summary.complete else "did not end well"


@dataclass(frozen=True, slots=True)
class Family:
    """Loads of one workload at three or more different numbers of users, ascending."""

    name: str
    levels: tuple[Level, ...]

    @property
    def is_curve(self) -> bool:
        """Whether each number of users is there once: else no line can lead through them."""
        return len({level.users for level in self.levels}) == len(self.levels)


def families(loads: Sequence[Load]) -> tuple[Family, ...]:
    """Every family among the loads, in the order of their first load."""
    by_kind: dict[str, list[Load]] = {}
    for load in loads:
        if isinstance(load.workload.get("users"), int) and load.judged:
            by_kind.setdefault(_kind(load), []).append(load)
    found = [_family(part) for alike in by_kind.values() for part in _swept(alike)]
    order = {load.journal: at for at, load in enumerate(loads)}
    return tuple(sorted(found, key=lambda one: min(order[level.load.journal] for level in one.levels)))


def _swept(alike: Sequence[Load]) -> list[list[Load]]:
    """Sweeps by their name first; what is left of the kind is one family where it has levels enough."""
    by_stem: dict[str, list[Load]] = {}
    for load in alike:
        by_stem.setdefault(_stem(load), []).append(load)
    sweeps = [part for part in by_stem.values() if _enough(part)]
    rest = [load for part in by_stem.values() if not _enough(part) for load in part]
    return [*sweeps, *([rest] if _enough(rest) else [])]


def _enough(loads: Sequence[Load]) -> bool:
    levels = {load.workload["users"] for load in loads}
    return len(levels) >= FEWEST_LEVELS and any(load.summary.completed for load in loads)


def _kind(load: Load) -> str:
    """All of a workload's description but its level, and what it was put on: equal for a family."""
    asked = {name: value for name, value in load.workload.items() if not _OF_A_LEVEL.fullmatch(name)}
    stack = {name: load.run.description.get(name) for name in _SAME_STACK}
    return json.dumps([asked, stack], sort_keys=True, default=str)


def _family(loads: Sequence[Load]) -> Family:
    ordered = sorted(loads, key=lambda load: (load.workload["users"], load.journal))
    return Family(_name(ordered), tuple(map(_level, ordered)))


def _level(load: Load) -> Level:
    ttft = sample(load.summary, "ttft_s")
    return Level(load.workload["users"], load, ttft.estimate(0.5), ttft.estimate(0.95))


def _name(loads: Sequence[Load]) -> str:
    """'sweep-short' of sweep-short-1 to sweep-short-64; of loads with different names all of them."""
    stems = list(dict.fromkeys(map(_stem, loads)))
    if len(stems) > MOST_NAMED:
        return f"{', '.join(stems[: MOST_NAMED - 1])} and {len(stems) - MOST_NAMED + 1} others"
    return ", ".join(stems)


def _stem(load: Load) -> str:
    """A workload's id without the number of its users."""
    name = str(load.workload_id or load.summary.name)
    return re.sub(rf"[-_.]?{load.workload['users']}$", "", name) or name

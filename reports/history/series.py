"""One value over many runs: its points, where the fingerprint changed, and the drift of like runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from instruments.slo import State
from instruments.slo.baseline import unlike
from reports import wording
from reports.history.comparison import asked_apart, worse_side
from reports.history.drift import FALSE_ALARM, Drift, Move, drift
from reports.history.entries import RATES, Entry

_DAY_S = 86_400.0
RATE_LABELS = {
    "achieved_per_s": ("requests sent per second", "requests/s"),
    "completed_per_s": ("requests completed per second", "requests/s"),
    "output_tokens_per_s": ("output tokens per second", "tokens/s"),
}


@dataclass(frozen=True, slots=True)
class Point:
    """What one run says; None where it is undefined. `like`: as the last run is, so that it counts."""

    run: str
    at: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    state: State | None = None
    like: bool = True
    changed: tuple[str, ...] = ()  # keys in which the fingerprint differs from that of the run before


@dataclass(frozen=True, slots=True)
class Series:
    """Points in the order of their runs. `worse`: 1 where more is worse, −1 where less is, 0 neither."""

    name: str
    label: str
    scale: wording.Scale
    worse: int
    points: tuple[Point, ...]

    @property
    def counted(self) -> tuple[Point, ...]:
        """Those that drift is asked of: of runs that are like the last one, with a value."""
        return tuple(one for one in self.points if one.like and one.value is not None)

    @property
    def undefined(self) -> tuple[Point, ...]:
        """Those of like runs that have no value."""
        return tuple(one for one in self.points if one.like and one.value is None)

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(one.value for one in self.counted if one.value is not None)

    @property
    def days(self) -> float:
        """From the first to the last that counts."""
        counted = self.counted
        return (counted[-1].at - counted[0].at).total_seconds() / _DAY_S if counted else 0.0

    def segments(self) -> list[tuple[Point, ...]]:
        """Points between changes of the fingerprint: these are never joined."""
        cuts = [0, *(at for at, point in enumerate(self.points) if at and point.changed), len(self.points)]
        return [self.points[start:end] for start, end in pairwise(cuts)]

    def drift(self, false_alarm: float = FALSE_ALARM) -> Drift:
        """What is found of the runs that count. Nothing is told where the last like run has no value."""
        like = [one for one in self.points if one.like]
        if not like or like[-1].value is None:
            return Drift(Move.NOT_ENOUGH, level=false_alarm / 2)
        return drift(self.values, self.worse, false_alarm=false_alarm)


def series_of(entries: Sequence[Entry], wanted: str, across: Sequence[str] = ()) -> list[Series]:
    """Every series of that name: an objective's id, an indicator (all objectives on it), or a rate of loads.

    `entries` are oldest first. The last of them that has a series is what others of it must be like.
    """
    objectives = [
        name
        for name in dict.fromkeys(key for entry in reversed(entries) for key in entry.objectives)
        if wanted == name or any(_speaks_of(entry, name, wanted) for entry in entries)
    ]
    found = [_of_objective(entries, name, across) for name in objectives]
    if wanted in RATES:
        loads = dict.fromkeys(name for entry in reversed(entries) for name in entry.loads)
        found += [_of_rate(entries, load, wanted, across) for load in loads]
    return found


def known_names(entries: Sequence[Entry]) -> list[str]:
    """What a series can be asked of."""
    objectives = {name: one for entry in entries for name, one in entry.objectives.items()}
    indicators = {one.objective.indicator for one in objectives.values()}
    rates = RATES if any(entry.loads for entry in entries) else ()
    return [*sorted(indicators | set(rates)), *sorted(objectives)]


def _speaks_of(entry: Entry, name: str, wanted: str) -> bool:
    found = entry.objectives.get(name)
    return found is not None and wanted in (found.objective.id, found.objective.indicator)


def _of_objective(entries: Sequence[Entry], name: str, across: Sequence[str]) -> Series:
    having = [entry for entry in entries if name in entry.objectives]
    last = having[-1].objectives[name]
    points = []
    for before, entry in zip([None, *having], having, strict=False):
        one = entry.objectives[name]
        like = not asked_apart(one, last) and not _apart(entry, having[-1], across)
        changed = _changed(before, entry, across)
        if before is not None:
            changed |= dict.fromkeys(asked_apart(before.objectives[name], one), ("", ""))
        points.append(
            Point(entry.name, entry.at, one.value, one.low, one.high, one.state, like, tuple(changed))
        )
    objective = last.objective
    label = f"{wording.subject(objective)} ({objective.workload}), limit {wording.limit(objective)}"
    return Series(name, label, wording.scale(objective), worse_side(last), tuple(points))


def _of_rate(entries: Sequence[Entry], load: str, rate: str, across: Sequence[str]) -> Series:
    having = [entry for entry in entries if load in entry.loads]
    points = [
        Point(
            entry.name,
            entry.at,
            entry.loads[load].rates[rate],
            like=not _apart(entry, having[-1], across),
            changed=tuple(_changed(before, entry, across)),
        )
        for before, entry in zip([None, *having], having, strict=False)
    ]
    label, unit = RATE_LABELS[rate]
    return Series(f"{load} {rate}", f"{label} ({load})", wording.Scale(1.0, unit), -1, tuple(points))


def _changed(before: Entry | None, entry: Entry, across: Sequence[str]) -> dict[str, tuple[str, str]]:
    return dict(_apart(before, entry, across)) if before is not None else {}


def _apart(one: Entry, other: Entry, across: Sequence[str]) -> Mapping[str, tuple[str, str]]:
    return unlike(one.saved(), other.saved(), across)

"""Two runs side by side, from their verdicts: states, values with the interval of their difference, loads.

Two single runs tell apart what their own requests could not have brought about by chance, and no more: how
much two runs of one unchanged system differ is not known from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from instruments.slo import State
from instruments.slo.baseline import unlike
from instruments.statistics.difference import Estimate, difference
from reports.history.entries import Entry, Found, LoadFigures

# Of an objective's definition: where these differ, the id is the same and what is asked is not.
_ASKED = ("workload", "indicator", "statistic", "per_request", "cost_per_hour")
_STATES = (State.VIOLATED, State.INCONCLUSIVE, State.MET)


class Tells(StrEnum):
    """What is told of a difference, and of its interval where it has one; what matters most first."""

    WORSE = "worse"
    BETTER = "better"
    WITHIN = "within error"
    COUNTED = "counted"
    NO_INTERVAL = "no interval"
    NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Change:
    """One objective in two runs; None where a run did not judge it.

    `asked`: what of its definition differs, so that its values are of different things.
    """

    key: str
    before: Found | None
    after: Found | None
    asked: tuple[str, ...] = ()

    @property
    def found(self) -> Found:
        """The later one, or the only one."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 - it is of one of the runs
        return found

    @property
    def both(self) -> tuple[Found, Found] | None:
        """Of both runs, where they asked the same."""
        if self.before is None or self.after is None or self.asked:
            return None
        return self.before, self.after

    @property
    def state_changed(self) -> bool:
        return (
            self.before is not None and self.after is not None and self.before.state is not self.after.state
        )

    @property
    def limit_changed(self) -> bool:
        return (
            self.before is not None
            and self.after is not None
            and self.before.objective.limit != self.after.objective.limit
        )

    @property
    def value(self) -> float | None:
        """After less before, in the indicator's unit; None where either is undefined."""
        if self.both is None or self.both[0].value is None or self.both[1].value is None:
            return None
        return self.both[1].value - self.both[0].value

    @property
    def relative(self) -> float | None:
        """The difference over the value before; None where that is 0 or undefined."""
        value = self.value
        if value is None or self.before is None or not self.before.value:
            return None
        return value / self.before.value

    @property
    def interval(self) -> Estimate | None:
        """The difference with its interval; None where either has none."""
        if self.both is None:
            return None
        before, after = (one.estimate() for one in self.both)
        return difference(before, after) if before and after else None

    @property
    def confidence(self) -> float | None:
        """Of the interval: the lower of the two that it is made of."""
        return min(one.objective.confidence for one in self.both) if self.both else None

    @property
    def tells(self) -> Tells:
        interval = self.interval
        if self.both is None or self.value is None:
            return Tells.NOTHING
        if interval is None:
            return Tells.COUNTED if all(one.counted for one in self.both) else Tells.NO_INTERVAL
        side = interval.side * worse_side(self.found)
        return Tells.WORSE if side > 0 else Tells.BETTER if side < 0 else Tells.WITHIN


@dataclass(frozen=True, slots=True)
class Comparison:
    """`apart`: keys of the fingerprint that differ, with both values; with any, no difference is judged."""

    before: Entry
    after: Entry
    apart: Mapping[str, tuple[str, str]]
    changes: tuple[Change, ...]
    loads: tuple[tuple[str, LoadFigures | None, LoadFigures | None], ...]

    @property
    def like(self) -> bool:
        return not self.apart

    @property
    def moved(self) -> tuple[Change, ...]:
        """Those whose state changed, and those that only one of the runs judged."""
        return tuple(one for one in self.changes if one.state_changed or not (one.before and one.after))

    @property
    def intervals(self) -> tuple[Change, ...]:
        """Those that have an interval of their difference."""
        return tuple(one for one in self.changes if one.interval is not None)


def compare(before: Entry, after: Entry, across: Sequence[str] = ()) -> Comparison:
    """Put two runs side by side; whether they may be compared is for the caller to ask of `apart`."""
    keys = list(dict.fromkeys([*after.objectives, *before.objectives]))
    changes = [_change(key, before.objectives.get(key), after.objectives.get(key)) for key in keys]
    names = dict.fromkeys([*after.loads, *before.loads])
    return Comparison(
        before,
        after,
        unlike(before.saved(), after.saved(), across),
        tuple(sorted(changes, key=_rank)),
        tuple((name, before.loads.get(name), after.loads.get(name)) for name in names),
    )


def worse_side(found: Found) -> int:
    """1 where more is worse, −1 where less is."""
    return 1 if found.objective.at_most is not None else -1


def asked_apart(one: Found, other: Found) -> tuple[str, ...]:
    """What of two definitions differs, but for the limit; the side of the limit counts."""
    apart = [name for name in _ASKED if getattr(one.objective, name) != getattr(other.objective, name)]
    return (*apart, *(["side of the limit"] if worse_side(one) != worse_side(other) else []))


def _change(key: str, before: Found | None, after: Found | None) -> Change:
    return Change(key, before, after, asked_apart(before, after) if before and after else ())


def _rank(change: Change) -> tuple[bool, int, int]:
    """States that changed first, the worst now before others; then what is worse."""
    return not change.state_changed, _STATES.index(change.found.state), list(Tells).index(change.tells)

"""Bounded figures: a median of paired differences or a share of a count, with an interval, beside a bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from instruments.records import Outcome, RequestRecord
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated, State
from instruments.statistics.quantiles import quantile, quantile_interval, share_interval

CONFIDENCE = 0.95  # of the two-sided interval


@dataclass(frozen=True, slots=True)
class Bounded:
    """A figure with its interval, in the unit that the bound has; no interval where too few were seen."""

    what: str
    unit: str
    count: str  # of what the figure is made, in words: "9 pairs"
    value: float | None
    interval: tuple[float, float] | None

    @classmethod
    def median(
        cls,
        what: str,
        values: Sequence[float],
        unit: str,
        noun: str = "pairs",
        confidence: float = CONFIDENCE,
    ) -> Bounded:
        """The median of values, by pair: a difference, a ratio.

        Its interval is of order statistics: exact for any law, and one hang of a busy machine moves it by a
        rank at most. Six values are the fewest that have one at 95 %.
        """
        ordered = sorted(values)
        return cls(
            what,
            unit,
            f"{len(ordered)} {noun}",
            quantile(ordered, 0.5),
            quantile_interval(ordered, 0.5, confidence),
        )

    @classmethod
    def share(cls, what: str, bad: int, of: int, noun: str, confidence: float = CONFIDENCE) -> Bounded:
        """The share that `bad` among `of` are; its interval is Clopper and Pearson's."""
        value = bad / of if of else None
        return cls(what, "", f"{bad} of {of} {noun}", value, share_interval(bad, of, confidence))

    def beside(self, bound: float) -> State:
        """MET when the whole interval is at most the bound, VIOLATED when none of it is."""
        if self.interval is None:
            return State.INCONCLUSIVE
        low, high = self.interval
        return State.MET if high <= bound else State.VIOLATED if low > bound else State.INCONCLUSIVE

    def require_at_most(self, bound: float) -> None:
        """Raise ObjectiveViolated or ObjectiveInconclusive unless it is surely at most the bound."""
        state = self.beside(bound)
        if state is State.MET:
            return
        kind = ObjectiveViolated if state is State.VIOLATED else ObjectiveInconclusive
        raise kind(
            f"{state}: {self.what}", expected=f"at most {_with_unit(bound, self.unit)}", seen=self.measured()
        )

    def measured(self) -> str:
        """The figure with its interval and its count, as one line."""
        value = "–" if self.value is None else _with_unit(self.value, self.unit)
        ends = "" if self.interval is None else f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        return f"{value}{ends}, {self.count}"


def ratios(
    records: Iterable[RequestRecord], of: Callable[[RequestRecord], float | None], over: str, under: str
) -> list[float]:
    """An indicator of one scenario over that of another of the same run, by pair, in the order of sending.

    Infinite for a pair in which one did not complete, or has no partner.
    """
    ordered = sorted(records, key=lambda record: record.due_ns)
    upper, lower = (
        [of(one) if one.outcome is Outcome.COMPLETED else None for one in ordered if one.scenario == name]
        for name in (over, under)
    )
    return [a / b if a is not None and b else math.inf for a, b in zip_longest(upper, lower)]


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()

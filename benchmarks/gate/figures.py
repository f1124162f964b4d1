"""Figures: shares with their exact error bars, sizes with their quantiles, and the goals that they have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from instruments.statistics.quantiles import quantile, quantile_interval, share_interval

BARS = 0.95  # confidence of the error bars
UNLIKE = 1e-5  # two counts this unlikely to be of one share are called different


@dataclass(frozen=True, slots=True)
class Goal:
    """From `least` to `most` is reached."""

    least: float = 0.0
    most: float = 1.0

    def holds(self, share: float) -> bool:
        return self.least <= share <= self.most

    def meets(self, low: float, high: float) -> bool:
        """Whether any share from low to high would reach it."""
        return low <= self.most and self.least <= high

    def __str__(self) -> str:
        if self.least == 0:
            return f"≤ {100 * self.most:g} %"
        return (
            f"≥ {100 * self.least:g} %"
            if self.most == 1
            else f"{100 * self.least:g} to {100 * self.most:g} %"
        )


def at_most(share: float) -> Goal:
    return Goal(most=share)


def at_least(share: float) -> Goal:
    return Goal(least=share)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, and the goal that it is held to, if any."""

    section: str
    name: str
    count: int
    of: int
    goal: Goal | None = None
    row: str = ""  # of which law and quantile it is, where the section has a table of them

    @property
    def value(self) -> float | None:
        return self.count / self.of if self.of else None

    @property
    def bars(self) -> tuple[float, float] | None:
        """The exact binomial interval (Clopper and Pearson) of the true share."""
        return share_interval(self.count, self.of, BARS)

    @property
    def verdict(self) -> str:
        """Reached or missed; "within the error" where the error bars reach over the goal's edge.

        A coverage beyond both ends of its goal is MISSED below it, and wide above: too cautious.
        """
        if self.goal is None:
            return ""
        if self.value is None or self.bars is None:
            return "not measured"
        low, high = self.bars
        if self.goal.holds(self.value):
            surely = self.goal.holds(low) and self.goal.holds(high)
            return "reached" if surely else "reached, within the error"
        said = "wide" if self.goal.least > 0 and self.value > self.goal.most else "MISSED"
        return f"{said}, within the error" if self.goal.meets(low, high) else said

    @property
    def surely_missed(self) -> bool:
        return self.verdict == "MISSED"

    def agrees(self, other: Share) -> bool:
        """Whether both may be counts of one share: the exact test of Fisher, two-sided."""
        return not self.of or not other.of or fisher(self.count, self.of, other.count, other.of) > UNLIKE


@dataclass(frozen=True, slots=True)
class Size:
    """What something took: the middle and the 95th of so many, with intervals at 99.999 % to compare by."""

    section: str
    name: str
    of: int
    median: float | None
    p95: float | None
    median_bars: tuple[float, float] | None = None
    p95_bars: tuple[float, float] | None = None
    beside: int | None = None  # what a test of fixed size needs
    row: str = ""

    @classmethod
    def taken(
        cls, section: str, name: str, values: Sequence[float], beside: int | None = None, row: str = ""
    ) -> Size:
        ordered = sorted(values)
        bars = [quantile_interval(ordered, p, 1 - UNLIKE) for p in (0.5, 0.95)]
        middle, high = (quantile(ordered, p) for p in (0.5, 0.95))
        return cls(section, name, len(ordered), middle, high, bars[0], bars[1], beside, row)

    def agrees(self, other: Size) -> bool:
        """Whether the intervals of both quantiles overlap; one that cannot be told contradicts nothing."""
        pairs = ((self.median_bars, other.median_bars), (self.p95_bars, other.p95_bars))
        return all(a is None or b is None or (a[0] <= b[1] and b[0] <= a[1]) for a, b in pairs)


Figure = Share | Size


def fisher(k: int, n: int, other_k: int, other_n: int) -> float:
    """If both are counts of one share: the chance of a division of k + other_k no likelier than this one."""
    total, drawn = n + other_n, k + other_k

    def log_chance(count: int) -> float:
        return _log_choose(n, count) + _log_choose(other_n, drawn - count) - _log_choose(total, drawn)

    seen = log_chance(k)
    possible = range(max(0, drawn - other_n), min(n, drawn) + 1)
    return min(1.0, math.fsum(math.exp(one) for one in map(log_chance, possible) if one <= seen + 1e-9))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def to_json(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    return [asdict(figure) for figure in figures]


def from_json(lines: Iterable[dict[str, Any]]) -> list[Figure]:
    """KeyError or TypeError for what was not written by `to_json`."""
    return [_figure(line) for line in lines]


def _figure(line: dict[str, Any]) -> Figure:
    if "count" in line:
        return Share(**(line | {"goal": Goal(**line["goal"]) if line["goal"] else None}))
    bars = {name: tuple(line[name]) if line[name] else None for name in ("median_bars", "p95_bars")}
    return Size(**(line | bars))

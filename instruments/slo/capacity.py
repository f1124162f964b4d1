"""The search for capacity: the highest load at which objectives hold, by a bounded number of judged probes.

The model is monotone: what holds at a level holds below it. A probe is MET, VIOLATED or INCONCLUSIVE. Where
each verdict is wrong with probability at most (1 − confidence) / probes_most, all are right together with
probability `confidence`, and then the knee lies from the highest MET to just below the lowest VIOLATED.
Nothing is said of levels beyond those that were tried: a knee that was not enclosed is not extrapolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from instruments.errors import ConfigurationError
from instruments.slo.verdict import State

PROBES_MOST = 12
SAME = 1e-9  # of a level: 3 steps of 0.1 are 0.30000000000000004


@dataclass(frozen=True, slots=True)
class Probe:
    """One level that was tried, and what became of the objectives there."""

    level: float
    state: State
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """Where the knee lies: the highest level at which the objectives hold is in [low, high].

    Levels are multiples of the resolution: `high` is the one below `violated`, the lowest that was VIOLATED.
    What is no such multiple may hold up to just below `violated`. `low` None: no level was MET. `high` and
    `violated` None: none was VIOLATED, so that the knee is at least `low`.
    """

    low: float | None
    high: float | None
    probes: tuple[Probe, ...]
    confidence: float
    reason: str
    monotone: bool = True
    violated: float | None = None

    def promise(self, level: float) -> State:
        """Whether a promised load holds: MET from `low` down, VIOLATED from the lowest VIOLATED up."""
        same = level * SAME
        if self.low is not None and self.low >= level - same:
            return State.MET
        if self.violated is not None and self.violated <= level + same:
            return State.VIOLATED
        return State.INCONCLUSIVE

    def headroom(self, level: float) -> tuple[float | None, float | None]:
        """What holds as a multiple of a promised load: at least, and below; None where it is not bounded."""
        return self.low and self.low / level, None if self.violated is None else self.violated / level


class CapacitySearch:
    """Which level to try next: geometrically from the start until the knee is enclosed, then by halves.

    Levels are whole multiples of `resolution` from `lowest` to `highest`. An INCONCLUSIVE level is gone
    around: the search goes on between it and the highest MET, and it and the lowest VIOLATED, the wider gap
    first. With `confirm`, one level above the first VIOLATED is tried too: a MET there denies the monotone
    model, and nothing else can show that. The same verdicts give the same levels.
    """

    def __init__(
        self,
        lowest: float,
        highest: float,
        *,
        start: float | None = None,
        resolution: float = 1,
        growth: float = 2.0,
        probes_most: int = PROBES_MOST,
        confidence: float = 0.95,
        confirm: bool = False,
    ) -> None:
        self._unit = resolution
        self._lowest = math.ceil(lowest / resolution - 1e-9)
        self._highest = math.floor(highest / resolution + 1e-9)
        self._start = self._lowest if start is None else round(start / resolution)
        self._growth = growth
        self._most = probes_most
        self._confidence = confidence
        self._confirm = confirm
        self._probes: list[Probe] = []
        self._check()

    @property
    def probe_error(self) -> float:
        """The probability with which a probe's verdict may be wrong: they share what the answer may be."""
        return (1 - self._confidence) / self._most

    def next_level(self) -> float | None:
        """The level to try; None when the search is over. The same one until it is told."""
        if len(self._probes) >= self._most or not self._monotone():
            return None
        step = self._enclosing() if self._enclosing() is not None else self._narrowing()
        return None if step is None else step * self._unit

    def tell(self, level: float, state: State, evidence: str = "") -> None:
        """What became of a level. One that was not asked for counts too: it may be known from elsewhere."""
        self._probes.append(Probe(level, state, evidence))

    def result(self) -> CapacityResult:
        """What is known by now."""
        met, violated = self._ends()
        low = None if met is None else met * self._unit
        high = None if violated is None else (violated - 1) * self._unit
        monotone = self._monotone()
        return CapacityResult(
            low if monotone else None,
            high if monotone else None,
            tuple(self._probes),
            self._confidence,
            self._reason(),
            monotone,
            violated * self._unit if monotone and violated is not None else None,
        )

    def _check(self) -> None:
        wrong = None
        if not self._unit > 0 or not 1 <= self._lowest <= self._start <= self._highest:
            wrong = "resolution above 0, and one resolution <= lowest <= start <= highest"
        elif not self._growth > 1 or self._most < 1 or not 0.5 <= self._confidence < 1:
            wrong = "growth above 1, at least one probe, confidence from 0.5 to below 1"
        if wrong is not None:
            units = (self._lowest, self._start, self._highest)
            seen = f"{', '.join(f'{unit * self._unit:g}' for unit in units)} in steps of {self._unit:g}"
            raise ConfigurationError("this is no search for a capacity", expected=wrong, seen=seen)

    def _told(self, state: State) -> list[int]:
        return sorted({round(one.level / self._unit) for one in self._probes if one.state is state})

    def _ends(self) -> tuple[int | None, int | None]:
        """The highest level that is MET, the lowest that is VIOLATED."""
        met, violated = self._told(State.MET), self._told(State.VIOLATED)
        return (met[-1] if met else None), (violated[0] if violated else None)

    def _monotone(self) -> bool:
        met, violated = self._ends()
        return met is None or violated is None or met < violated

    def _enclosing(self) -> int | None:
        """The next level on the way up to a VIOLATED, or down to a MET; None where there is no way left."""
        if not self._probes:
            return self._start
        tried = sorted(round(one.level / self._unit) for one in self._probes)
        met, violated = self._ends()
        alone = violated is not None and violated == tried[-1]
        if (violated is None or (self._confirm and alone)) and tried[-1] < self._highest:
            return min(self._highest, max(tried[-1] + 1, math.floor(tried[-1] * self._growth)))
        if met is None and tried[0] > self._lowest:
            return max(self._lowest, min(tried[0] - 1, math.ceil(tried[0] / self._growth)))
        return None

    def _narrowing(self) -> int | None:
        """The middle of the widest gap between what is known; None when there is none left to narrow."""
        met, violated = self._ends()
        open_ = [
            one
            for one in self._told(State.INCONCLUSIVE)
            if one > (met or 0) and (violated is None or one < violated)
        ]
        gaps: list[tuple[int, int]] = []
        if met is not None and (open_ or violated is not None):
            gaps.append((met, open_[0] if open_ else violated or 0))
        if violated is not None and open_:
            gaps.append((open_[-1], violated))
        below, above = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0, 0))
        return (below + above) // 2 if above - below > 1 else None

    def _reason(self) -> str:
        met, violated = self._ends()
        tried = [one.level for one in self._probes]
        if not tried:
            return "nothing was tried"
        at = "" if met is None else f"MET at {met * self._unit:g}"
        over = "" if violated is None else f"VIOLATED at {violated * self._unit:g}"
        if not self._monotone():
            return f"not monotone: {at}, {over}"
        if not at and not over:
            return f"no level was decided, from {min(tried):g} to {max(tried):g}"
        if not at:
            return f"{over} and nothing lower MET; the lowest that was tried is {min(tried):g}"
        if not over:
            return f"{at} and nothing higher VIOLATED; the highest that was tried is {max(tried):g}"
        spent = len(tried) >= self._most and self._narrowing() is not None
        return f"{at}, {over}" + (f"; the {self._most} probes are spent" if spent else "")

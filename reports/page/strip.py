"""The strip: a value and its interval against their limit, as geometry for a small inline drawing."""

from __future__ import annotations

from dataclasses import dataclass

from instruments.slo import Verdict
from instruments.statistics.indicators import INDICATORS
from reports import wording

WIDTH = 200.0
_MARGIN = 6.0
_AIR = 1.15  # what is drawn beyond the largest number


@dataclass(frozen=True, slots=True)
class Strip:
    """Positions along WIDTH; None where there is nothing to draw."""

    limit: float
    allowed: tuple[float, float]
    value: float | None
    interval: tuple[float, float] | None
    unbounded: bool  # the interval, or the value itself, has no upper end
    title: str


def strip(verdict: Verdict) -> Strip:
    """Where limit, value and interval lie. Linear from 0; shares with a lower limit up to 100 %."""
    objective = verdict.objective
    first, last = _domain(verdict)

    def place(number: float) -> float:
        inside = min(max((number - first) / (last - first), 0.0), 1.0)
        return round(_MARGIN + inside * (WIDTH - 2 * _MARGIN), 2)

    limit, edge = place(objective.limit), WIDTH - _MARGIN
    lost = objective.indicator in _TIMED and verdict.requests > 0 and verdict.value is None
    unbounded = lost or (verdict.low is not None and verdict.high is None)
    interval = None
    if verdict.low is not None:
        interval = (place(verdict.low), edge if verdict.high is None else place(verdict.high))
    return Strip(
        limit=limit,
        allowed=(_MARGIN, limit) if objective.at_most is not None else (limit, edge),
        value=None if verdict.value is None else place(verdict.value),
        interval=interval,
        unbounded=unbounded,
        title=f"{wording.measured(verdict)}; limit {wording.limit(objective)}",
    )


def _domain(verdict: Verdict) -> tuple[float, float]:
    limit = verdict.objective.limit
    seen = [number for number in (limit, verdict.value, verdict.low, verdict.high) if number is not None]
    if verdict.objective.at_least is not None and INDICATORS[verdict.objective.indicator].unit == "share":
        least = min(seen)
        return max(0.0, least - 0.5 * (1 - least)), 1.0
    return 0.0, max(seen) * _AIR or 1.0


_TIMED = frozenset(name for name, known in INDICATORS.items() if known.per_request)

"""Interleaved comparisons as ratios: B over A with its interval, from the document that each left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instruments.slo.comparison import Figure
from instruments.statistics.comparison import Change
from reports.loads import MALFORMED
from reports.trials import Trial


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison. `value` None: undefined; `low` None: from 0 on; `high` None: without an end."""

    name: str
    figure: str  # 'TTFT p50'
    change: Change
    reason: str
    value: float | None
    low: float | None
    high: float | None
    tolerance: float | None  # 0.05: within 1/1.05 to 1.05 they are the same
    false_alarm: float
    pairs: int
    requests: tuple[int, int]
    failed: tuple[int, int]


def ratios(trials: Sequence[Trial]) -> tuple[tuple[Ratio, ...], tuple[str, ...]]:
    """(every comparison whose document has a ratio, the names of those that have none)."""
    read = [(trial.name, _ratio(trial)) for trial in trials]
    unread = tuple(name for name, one in read if one is None)
    return tuple(one for _, one in read if one is not None), unread


def _ratio(trial: Trial) -> Ratio | None:
    document = trial.document
    try:
        told, rule = document["ratio"], document["rule"]
        requests, failed = document["requests"], document["failed"]
        return Ratio(
            name=trial.name,
            figure=str(Figure(**document["figure"])),
            change=Change(document["change"]),
            reason=str(document["reason"]),
            value=_positive(told["value"]),
            low=_positive(told["low"]),
            high=_positive(told["high"]),
            tolerance=rule["tolerance"],
            false_alarm=float(rule["false_alarm"]),
            pairs=len(document["pairs"]),
            requests=(int(requests["a"]), int(requests["b"])),
            failed=(int(failed["a"]), int(failed["b"])),
        )
    except MALFORMED:
        return None


def _positive(value: float | None) -> float | None:
    """A ratio of 0 is what has no lower end: on a logarithm it lies nowhere."""
    return None if value is None or not value > 0 else float(value)

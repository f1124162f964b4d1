"""A judged series in words and as a document: what moved, by how much, what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instruments.statistics.trend import trend
from reports import wording
from reports.history.drift import Drift, Move, runs_least, step_least
from reports.history.series import Point, Series
from reports.history.text import percent, signed, signed_interval

WEEK_S = 604_800.0
_NAMED = 3  # runs; beyond these they are counted


def found_words(series: Series, drift: Drift) -> str:
    """One sentence: why it is called so."""
    count = len(series.values)
    runs = wording.many(count, "like run")
    if drift.move is Move.NOT_ENOUGH:
        return _too_few(series, drift, runs)
    parts = []
    if drift.is_step and drift.step is not None:
        step, at = drift.step, series.counted[drift.step.at]
        share = percent(step.after / step.before - 1) if step.before else ""
        before, after = (series.scale.quantity(one) for one in (step.before, step.after))
        parts.append(f"a step at {at.run}: {before} → {after} ({share}), p = {step.p:.2g}")
    if drift.is_slow and drift.slow is not None:
        moved, first = drift.slow.moved, series.values[0]
        share = f" ({percent(moved / first)})" if first else ""
        parts.append(
            f"slowly, by {signed(series.scale, moved)}{share} from first to last, p = {drift.slow.p:.2g}"
        )
    if parts:
        return f"over {runs}: {'; '.join(parts)}"
    told = (
        "" if count >= step_least(drift.level) else f"; a step can be told from {step_least(drift.level)} on"
    )
    return f"no drift over {runs}{told}"


def _too_few(series: Series, drift: Drift, runs: str) -> str:
    like = [one for one in series.points if one.like]
    if like and like[-1].value is None:
        return f"the newest run, {like[-1].run}, has no value: too few of its requests have one"
    return f"{runs} with a value; at least {runs_least(drift.level)} are needed"


def slope_words(series: Series, confidence: float = 0.95) -> str:
    """'+0.4 ms a week [−0.1, +0.9] at 95 %'; empty where there is none to tell."""
    found = trend([one.at.timestamp() for one in series.counted], series.values, confidence=confidence)
    ends = found.over(WEEK_S)
    if ends is None or series.days < 1:
        return ""
    value, low, high = ends
    interval = signed_interval(series.scale, low, high)
    return f"a line through them moves by {signed(series.scale, value)} a week {interval} at 95 %"


def left_out(series: Series) -> Iterator[str]:
    """Runs that do not count, and why."""
    unlike = [one for one in series.points if not one.like]
    if unlike:
        keys = dict.fromkeys(key for one in series.points for key in one.changed)
        yield f"not counted, unlike the newest ({', '.join(keys)}): {_names(unlike)}"
    if series.undefined:
        yield f"without a value: {_names(series.undefined)}"


def _names(points: list[Point] | tuple[Point, ...]) -> str:
    named = ", ".join(one.run for one in points[:_NAMED])
    more = len(points) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def told_series(series: Series, drift: Drift) -> dict[str, Any]:
    """As JSON has it; values in the indicator's own unit."""
    step = drift.step
    return {
        "name": series.name,
        "label": series.label,
        "move": str(drift.move),
        "reason": found_words(series, drift),
        "worse": {1: "more", -1: "less", 0: None}[series.worse],
        "level": drift.level,
        "slow": drift.slow
        and {"s": drift.slow.s, "p": drift.slow.p, "moved": drift.slow.moved, "found": drift.is_slow},
        "step": step
        and {
            "run": series.counted[step.at].run,
            "before": step.before,
            "after": step.after,
            "p": step.p,
            "found": drift.is_step,
        },
        "points": [
            {
                "run": one.run,
                "at": one.at.isoformat(),
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "state": one.state and str(one.state),
                "counted": one.like and one.value is not None,
                "changed": list(one.changed),
            }
            for one in series.points
        ],
    }

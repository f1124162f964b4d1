"""The trend strip: a value over the last runs, as geometry for a small inline drawing, and in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reports import wording
from reports.history.series import Point, Series

WIDTH, HEIGHT = 160.0, 34.0
_MARGIN = 6.0


@dataclass(frozen=True, slots=True)
class Mark:
    """One run's place. `like`: as the run that is reported; `now`: that run itself."""

    x: float
    y: float
    like: bool
    now: bool
    title: str


@dataclass(frozen=True, slots=True)
class TrendStrip:
    """Places within WIDTH and HEIGHT. `lines` join runs between which the fingerprint stayed; `breaks` are
    where it changed; `limit` is None where it lies far from all values."""

    lines: tuple[str, ...]
    marks: tuple[Mark, ...]
    breaks: tuple[float, ...]
    limit: float | None
    words: str


def trend_strip(series: Series, limit: float) -> TrendStrip | None:
    """Where each run lies, in the order of runs, a larger value higher; None for fewer than two values."""
    known = [one.value for one in series.points if one.value is not None]
    if len(known) < 2:
        return None
    low, high = min(known), max(known)
    near = low - (high - low) <= limit <= high + (high - low)
    if near:
        low, high = min(low, limit), max(high, limit)
    step = (WIDTH - 2 * _MARGIN) / (len(series.points) - 1)

    def x(number: float) -> float:
        return round(_MARGIN + number * step, 1)

    def y(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - _MARGIN - share * (HEIGHT - 2 * _MARGIN), 1)

    marks = tuple(
        Mark(x(at), y(one.value), one.like, at == len(series.points) - 1, f"{one.run}: {_said(series, one)}")
        for at, one in enumerate(series.points)
        if one.value is not None
    )
    return TrendStrip(
        lines=tuple(_lines(series, x, y)),
        marks=marks,
        breaks=tuple(x(at - 0.5) for at, one in enumerate(series.points) if at and one.changed),
        limit=y(limit) if near else None,
        words=words(series),
    )


def _lines(series: Series, x: Callable[[float], float], y: Callable[[float], float]) -> Iterator[str]:
    """The points of each stretch of two values or more; a run without a value interrupts it."""
    at = 0
    for segment in series.segments():
        stretch: list[str] = []
        for one in segment:
            if one.value is not None:
                stretch.append(f"{x(at)},{y(one.value)}")
            elif len(stretch) > 1:
                yield " ".join(stretch)
            if one.value is None:
                stretch = []
            at += 1
        if len(stretch) > 1:
            yield " ".join(stretch)


def words(series: Series) -> str:
    """What the drawing shows, for who does not see it."""
    like = series.values
    told = [f"{series.label}, the last {wording.many(len(series.points), 'run')}"]
    if like:
        ends = f"{series.scale.quantity(min(like))} to {series.scale.quantity(max(like))}"
        told.append(f"{wording.many(len(like), 'run')} like this one: {ends}")
    told.append(f"now {_said(series, series.points[-1])}")
    unlike = sum(not one.like for one in series.points)
    if unlike:
        told.append(f"{unlike} unlike, drawn hollow")
    changes = sum(bool(one.changed) for one in series.points[1:])
    if changes:
        told.append(f"the fingerprint changed {wording.many(changes, 'time')}")
    undefined = sum(one.value is None for one in series.points)
    if undefined:
        told.append(f"{undefined} without a value")
    return "; ".join(told)


def _said(series: Series, point: Point) -> str:
    return series.scale.quantity(point.value)

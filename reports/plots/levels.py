"""Curves over levels drawn: latency and throughput against users, and a search for the knee."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from instruments.slo import State
from reports import wording
from reports.charts.families import Family
from reports.charts.knees import Knee, ProbePoint
from reports.latency import Estimate
from reports.plots.canvas import (
    CARD,
    CURVE,
    INCONCLUSIVE,
    LIMIT,
    MET,
    SECOND,
    SMALL,
    VIOLATED,
    axes_in,
    drawn,
    few_ticks,
    spread,
    titled,
    unit_below,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (4.0, 2.5)
_BOX = (0.13, 0.2, 0.84, 0.65)
_PLOT = _SIZE[0] * _BOX[2]
_WIDE = 10  # times the lowest level: beyond it only a logarithm shows all
_LABEL = 0.09  # of the axis, that a level's number may need
_DASHED = (0, (4, 2))
_MARKS: dict[State, dict[str, Any]] = {
    State.MET: {"marker": "o", "color": MET, "markersize": 6},
    State.VIOLATED: {"marker": "D", "color": VIOLATED, "markersize": 6},
    State.INCONCLUSIVE: {
        "marker": "o",
        "color": INCONCLUSIVE,
        "markersize": 6,
        "markerfacecolor": CARD,
        "markeredgewidth": 1.6,
    },
}


def ttft_svg(family: Family, prefix: str) -> str:
    """TTFT p50 and p95 against users, each with its interval."""
    known = [end for one in family.levels for of in (one.ttft_p50, one.ttft_p95) for end in _ends(of)]
    unit = wording.time_scale(max(known, default=None))

    def paint(figure: Figure) -> None:
        axes = axes_in(figure, _BOX)
        users = [float(one.users) for one in family.levels]
        _level_axis(axes, users, "users")
        for of, colour, style, mark in (
            ([one.ttft_p50 for one in family.levels], CURVE, "-", "o"),
            ([one.ttft_p95 for one in family.levels], SECOND, _DASHED, "s"),
        ):
            _with_intervals(
                axes,
                users,
                of,
                unit.factor,
                {"color": colour, "linestyle": style if family.is_curve else "none", "marker": mark},
            )
        few_ticks(axes, 4)
        titled(axes, f"TTFT, {unit.unit}", ("p50", CURVE), ("p95, dashed", SECOND), width=_PLOT)

    told = ", ".join(
        f"{wording.many(one.users, 'user')}: p50 {unit.quantity(one.ttft_p50.value)}, "
        f"p95 {unit.quantity(one.ttft_p95.value)}"
        for one in family.levels
    )
    return drawn(_SIZE, prefix, f"TTFT of {family.name} against users; {told}", paint, "levels")


def throughput_svg(family: Family, prefix: str) -> str:
    """Tokens per second against users."""
    rates = [one.load.summary.output_tokens_per_s for one in family.levels]

    def paint(figure: Figure) -> None:
        axes = axes_in(figure, _BOX)
        users = [float(one.users) for one in family.levels]
        _level_axis(axes, users, "users")
        axes.plot(users, [math.nan if one is None else one for one in rates], color=CURVE, marker="o",
                  markersize=4, linewidth=1.6, linestyle="-" if family.is_curve else "none")  # fmt: skip
        few_ticks(axes, 4)
        titled(axes, "output tokens/s", width=_PLOT)

    told = ", ".join(
        f"{wording.many(one.users, 'user')}: {wording.figure(rate)}"
        for one, rate in zip(family.levels, rates, strict=True)
    )
    description = f"Output tokens per second of {family.name} against users; {told}"
    return drawn(_SIZE, prefix, description, paint, "levels")


def good_share_svg(knee: Knee, prefix: str) -> str:
    """The share of good requests at each probe, with its interval and the probe's state."""

    def paint(figure: Figure) -> None:
        axes = _knee_axes(figure, knee)
        for one in knee.probes:
            if one.good_share is not None and one.good_low is not None and one.good_high is not None:
                _bar(axes, one.level, 100 * one.good_low, 100 * one.good_high)
        _probe_marks(
            axes,
            knee.probes,
            [None if one.good_share is None else 100 * one.good_share for one in knee.probes],
        )
        lows = [100 * one.good_low for one in knee.probes if one.good_low is not None]
        axes.set_ylim(_below(min(lows, default=0.0)), 100 + 0.04 * (100 - _below(min(lows, default=0.0))))
        titled(axes, "good requests, %", width=_PLOT)

    shares = [wording.PERCENT.quantity(one.good_share) for one in knee.probes]
    return drawn(_SIZE, prefix, _told(knee, "Share of good requests", shares), paint, "levels")


def good_rate_svg(knee: Knee, prefix: str) -> str:
    """Good requests per second at each probe, and how many completed."""

    def paint(figure: Figure) -> None:
        axes = _knee_axes(figure, knee)
        levels = [one.level for one in knee.probes]
        rates = [math.nan if one.completed_per_s is None else one.completed_per_s for one in knee.probes]
        axes.plot(levels, rates, color=SECOND, linestyle=_DASHED, linewidth=1.4)
        _probe_marks(axes, knee.probes, [one.good_per_s for one in knee.probes])
        few_ticks(axes, 4)
        titled(axes, "requests/s", ("good", CURVE), ("completed, dashed", SECOND), width=_PLOT)

    rates = [wording.figure(one.good_per_s) for one in knee.probes]
    return drawn(_SIZE, prefix, _told(knee, "Good requests per second", rates), paint, "levels")


def _knee_axes(figure: Figure, knee: Knee) -> Axes:
    axes = axes_in(figure, _BOX)
    levels = [one.level for one in knee.probes]
    _level_axis(axes, levels, "users" if knee.by == "users" else "requests/s offered", knee.promise)
    left, right = axes.get_xlim()
    if knee.low is not None or knee.violated is not None:
        start, end = left if knee.low is None else knee.low, right if knee.violated is None else knee.violated
        axes.axvspan(start, end, color=LIMIT, alpha=0.14, linewidth=0)
    if knee.promise is not None:
        axes.axvline(knee.promise, color=LIMIT, linewidth=1.3, linestyle=":")
    return axes


def _probe_marks(axes: Axes, probes: Sequence[ProbePoint], values: Sequence[float | None]) -> None:
    known = [(one, value) for one, value in zip(probes, values, strict=True) if value is not None]
    axes.plot([one.level for one, _ in known], [value for _, value in known], color=CURVE, linewidth=1.6)
    for one, value in known:
        axes.plot([one.level], [value], linestyle="none", clip_on=False, zorder=5, **_MARKS[one.state])


def _with_intervals(
    axes: Axes, levels: Sequence[float], of: Sequence[Estimate], factor: float, look: dict[str, Any]
) -> None:
    for level, one in zip(levels, of, strict=True):
        if one.low is not None and one.high is not None:
            _bar(axes, level, one.low * factor, one.high * factor, look["color"])
    values = [math.nan if one.value is None else one.value * factor for one in of]
    axes.plot(levels, values, markersize=4, linewidth=1.6, **look)


def _bar(axes: Axes, level: float, low: float, high: float, colour: str = CURVE) -> None:
    axes.plot([level, level], [low, high], color=colour, linewidth=4, alpha=0.35, solid_capstyle="butt")


def _level_axis(axes: Axes, levels: Sequence[float], unit: str, promise: float | None = None) -> None:
    """Numbers at the levels that were tried, as many as there is room for."""
    told = sorted({*levels, *([] if promise is None else [promise])})
    least, most = told[0], told[-1]
    logarithmic = least > 0 and most > _WIDE * least
    place = math.log if logarithmic else float
    span = (place(most) - place(least)) or 1.0
    air = 0.05 * span
    axes.set_xscale("log" if logarithmic else "linear")
    ends = (place(least) - air, place(most) + air)
    axes.set_xlim(*(math.exp(one) for one in ends) if logarithmic else ends)
    ticks = sorted(set(levels))
    kept = spread([(place(one) - place(least)) / span for one in ticks], _LABEL)
    axes.set_xticks([ticks[at] for at in kept], [f"{ticks[at]:g}" for at in kept], fontsize=SMALL)
    axes.xaxis.set_minor_locator(_none())
    unit_below(axes, f"{unit}, logarithmic" if logarithmic else unit)


def _none() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _below(low: float) -> float:
    """Where an axis of shares begins: at a round number below the lowest, which is said by its ticks."""
    return 0.0 if low < 50 else math.floor(low / 10) * 10.0 if low < 90 else math.floor(low)


def _ends(of: Estimate) -> list[float]:
    return [one for one in (of.value, of.high) if one is not None]


def _told(knee: Knee, what: str, values: Sequence[str]) -> str:
    probes = ", ".join(
        f"{one.level:g} {one.state} with {value}" for one, value in zip(knee.probes, values, strict=True)
    )
    return f"{what} of {knee.workload} against {knee.by}; probes: {probes}; {knee.reason}"

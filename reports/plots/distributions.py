"""Distributions drawn: empirical curves with their band, against their limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reports.charts.bands import Band
from reports.latency import Curve, LimitLine, Panel
from reports.plots.canvas import (
    BY_VARIABLES,
    CURVE,
    LIMIT,
    ON_WHITE,
    SECOND,
    axes_in,
    drawn,
    dress,
    saved,
    unit_below,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 200
_LONG_TAIL = 20  # times the median: from there on only a logarithm shows both


def plot_svg(panel: Panel, prefix: str) -> str:
    """One panel as inline SVG."""
    return drawn(
        (4.0, 2.7),
        prefix,
        _described(panel),
        lambda figure: _draw(axes_in(figure, (0.14, 0.19, 0.83, 0.76)), panel),
    )


def plots_png(panels: Sequence[Panel], title: str) -> bytes:
    """Panels side by side on white, for where no page can be shown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * max(1, len(panels)), 3.4), dpi=110, layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), fontsize=10)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        dress(axes, ON_WHITE)
        _draw(axes, panel, ON_WHITE)
        axes.set_title(panel.name, fontsize=10)
    return saved(figure, "png")


def _draw(axes: Axes, panel: Panel, paint: Mapping[str, str] = BY_VARIABLES) -> None:
    left, right, logarithmic = _range(panel)
    axes.set_xscale("log" if logarithmic else "linear")
    axes.set_xlim(left, right)
    axes.set_ylim(0, 1.04)
    if panel.band is not None:
        _draw_band(axes, panel.band, panel.scale.factor, right, paint)
    for curve, colour, style in zip(panel.curves, (CURVE, SECOND), ("-", (0, (4, 2))), strict=False):
        values, shares = _steps(curve, panel, left, right)
        axes.plot(values, shares, color=paint[colour], linestyle=style, linewidth=1.8, drawstyle="steps-post")
    for line in panel.limits:
        _draw_limit(axes, line, panel, paint)
    _mark(axes, panel, paint, logarithmic=logarithmic)


def _range(panel: Panel) -> tuple[float, float, bool]:
    factor = panel.scale.factor
    limits = [line.value_s * factor for line in panel.limits]
    ordered = panel.curves[0].values
    least = min(float(curve.values[0]) for curve in panel.curves if len(curve.values)) * factor
    most = max(float(curve.values[-1]) for curve in panel.curves if len(curve.values)) * factor
    median, highest = ordered[len(ordered) // 2] * factor, max((most, *limits))
    least = min((value for value in (least, *limits) if value > 0), default=0.0)
    if least > 0 and median > 0 and highest > _LONG_TAIL * median:
        return least * 0.8, highest * 1.2, True
    return 0.0, (highest or 1.0) * 1.08, False


def _draw_band(axes: Axes, band: Band, factor: float, right: float, paint: Mapping[str, str]) -> None:
    values = [*(value * factor for value in band.values), right]
    low, high = [*band.low, band.low[-1]], [*band.high, band.high[-1]]
    if band.every:
        values, low, high = _stairs(values), _doubled(low), _doubled(high)
    axes.fill_between(values, low, high, color=paint[CURVE], alpha=0.18, linewidth=0)


def _stairs(values: Sequence[float]) -> list[float]:
    """Each value but the first twice: a share stays what it is until the next value."""
    return [one for value in values for one in (value, value)][1:]


def _doubled(shares: Sequence[float]) -> list[float]:
    return [one for share in shares for one in (share, share)][:-1]


def _steps(curve: Curve, panel: Panel, left: float, right: float) -> tuple[list[float], list[float]]:
    """The curve's corners. It runs on to the right edge, below 100 % by those that never completed."""
    n = len(curve.values)
    step = max(1, n // _MOST_POINTS)
    # Thinned where requests lie dense; the last ones, which the limits are about, are all kept.
    ranks = sorted({*range(0, n, step), *range(max(0, n - 40), n)})
    values = [left, *(max(left, curve.values[rank] * panel.scale.factor) for rank in ranks), right]
    shares = [0.0, *((rank + 1) / curve.total for rank in ranks), n / curve.total]
    return values, shares


def _draw_limit(axes: Axes, line: LimitLine, panel: Panel, paint: Mapping[str, str]) -> None:
    x = line.value_s * panel.scale.factor
    style = ":" if line.share is None else "--"
    axes.axvline(x, color=paint[LIMIT], linestyle=style, linewidth=1.3)
    if line.share is not None:
        # The point that the curve must pass on its left and above.
        axes.plot([x], [line.share], marker="D", markersize=5, color=paint[LIMIT], clip_on=False)


def _mark(axes: Axes, panel: Panel, paint: Mapping[str, str], *, logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter, StrMethodFormatter

    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    if logarithmic:
        left, right = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if right > 1e3 * left else (1, 3)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    # A scale brings its own formatter with it, so that this one comes after.
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    unit_below(axes, f"{panel.scale.unit}, logarithmic" if logarithmic else panel.scale.unit, paint)


def _described(panel: Panel) -> str:
    """What the plot shows, for who cannot see it."""
    parts = [f"Share of requests against {panel.name}"]
    parts += [f"{one.label}: {len(one.values)} of {one.total} requests have one" for one in panel.curves]
    parts.append(_quantiles(panel))
    for line in panel.limits:
        share = "" if line.share is None else f" for {line.share:.4g} of all requests"
        parts.append(f"limit {panel.scale.quantity(line.value_s)}{share}")
    return "; ".join(parts)


def _quantiles(panel: Panel) -> str:
    """Of the first curve, those without a value slower than all others."""
    curve = panel.curves[0]
    told = []
    for share in (0.5, 0.95, 0.99):
        rank = max(1, math.ceil(curve.total * share - 1e-9))
        value = panel.scale.quantity(curve.values[rank - 1] if rank <= len(curve.values) else None)
        told.append(f"p{share * 100:g} {value}")
    return ", ".join(told)

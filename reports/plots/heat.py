"""The heat map drawn: gaps between tokens by time and length, counts as opacity, one path for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from reports import wording
from reports.charts.arrivals import Arrivals, GapBins
from reports.charts.slices import Slices
from reports.plots.canvas import CURVE, SMALL, axes_in, drawn, unit_below
from reports.plots.time_axis import time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEVELS = 5
_LEAST_OPACITY = 0.12
_SIZE = (4.0, 2.7)
_BOX = (0.16, 0.19, 0.81, 0.76)


@dataclass(frozen=True, slots=True)
class HeatLevel:
    """Cells with at least `least` gaps, and fewer than the next level's."""

    least: int
    opacity: float


def heat_levels(most: int) -> tuple[HeatLevel, ...]:
    """At most five levels, each of about as many times the gaps of the one before."""
    bounds = sorted({int(np.ceil(most ** (step / _LEVELS) - 1e-9)) for step in range(_LEVELS)})
    span = 1 - _LEAST_OPACITY
    last = len(bounds) - 1
    return tuple(
        HeatLevel(least, round(1 - span * (last - at) / max(1, last), 3)) for at, least in enumerate(bounds)
    )


def heat_svg(arrived: Arrivals, slices: Slices, prefix: str) -> str:
    """Time to the right, gaps upwards on a logarithm; the lowest row is gaps of 0, where there are any."""
    return drawn(
        _SIZE,
        prefix,
        _described(arrived, slices),
        lambda figure: _draw(axes_in(figure, _BOX), arrived, slices),
        "heat",
    )


def _draw(axes: Axes, arrived: Arrivals, slices: Slices) -> None:
    rows = shown_rows(arrived)
    unit = time_axis(axes, slices)
    axes.set_ylim(0, len(rows))
    axes.grid(visible=False)
    height_pt = _SIZE[1] * _BOX[3] * 72 / len(rows)
    levels = heat_levels(int(arrived.heat.max()))
    which = np.digitize(arrived.heat[rows], [level.least for level in levels])
    edges = [edge * unit.factor for edge in slices.edges_s()]
    for at, level in enumerate(levels, start=1):
        _draw_level(axes, which == at, edges, height_pt, level.opacity)
    _label(axes, arrived.bins, rows)
    unit_below(axes, unit.unit)


def shown_rows(arrived: Arrivals) -> list[int]:
    """Rows of the heat that are drawn: that of gaps of 0 only where there are such."""
    first = 0 if arrived.heat[0].any() else 1
    return list(range(first, len(arrived.heat)))


def _draw_level(
    axes: Axes, cells: npt.NDArray[np.bool_], edges: Sequence[float], height_pt: float, opacity: float
) -> None:
    """All cells of a level as one path: a stroke as broad as a row is high for each run of neighbours."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    for row, filled in enumerate(cells):
        bounds = np.flatnonzero(np.diff(np.concatenate(([0], filled.astype(int), [0]))))
        for start, stop in zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True):
            points += [(edges[start], row + 0.5), (edges[stop], row + 0.5)]
    if not points:
        return
    path = Path(points, [Path.MOVETO, Path.LINETO] * (len(points) // 2))
    path.should_simplify = False
    patch = PathPatch(path, fill=False, edgecolor=CURVE, linewidth=height_pt, alpha=opacity, capstyle="butt")
    axes.add_patch(patch)


def _label(axes: Axes, bins: GapBins | None, rows: Sequence[int]) -> None:
    """Round gaps at their places; the row of 0 at its middle."""
    places, labels = [], []
    if 0 in rows:
        places, labels = [0.5], ["0"]
    base = 1 if 0 in rows else 0
    for at, seconds in round_gaps(bins) if bins else []:
        places.append(base + at)
        labels.append(wording.time_scale(seconds).quantity(seconds))
    axes.set_yticks(places, labels, fontsize=SMALL)


def round_gaps(bins: GapBins) -> list[tuple[float, float]]:
    """(place in bins, seconds) of 1, 10, 100 µs … within the bins; of few, of 2 and 5 besides."""
    low, high = bins.edge_s(0), bins.edge_s(bins.count)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        told = [step * 10.0**power for power in range(-9, 4) for step in steps]
        within = [one for one in told if low * 0.999 <= one <= high * 1.001]
        if len(within) >= 3:
            break
    return [(float(np.log10(one * 1e9)) * bins.per_decade - bins.first, one) for one in within[:8]]


def _described(arrived: Arrivals, slices: Slices) -> str:
    what = "tokens" if arrived.of_tokens else "chunks"
    parts = [
        f"{arrived.gaps} gaps between {what} by time, over {wording.duration(slices.span_s)}, and length"
    ]
    if arrived.heat[0].any():
        parts.append(f"{int(arrived.heat[0].sum())} of them 0")
    if arrived.bins is not None and arrived.heat[1:].any():
        row = int(arrived.heat[1:].sum(axis=1).argmax())
        low, high = (wording.MILLISECONDS.quantity(arrived.bins.edge_s(at)) for at in (row, row + 1))
        parts.append(
            f"of the longer ones the fullest row has {int(arrived.heat[row + 1].sum())}, from {low} to {high}"
        )
    return "; ".join(parts)

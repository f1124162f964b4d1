"""The time axis that every drawing of a load over time shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.charts.slices import Slices
from reports.plots.canvas import LIMIT
from reports.wording import SECONDS, Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MINUTES = Scale(1 / 60, "min")
_IN_MINUTES = 300  # seconds
_AT_THE_END = 0.985  # of the axis: a window that ends there needs no mark


def time_axis(axes: Axes, slices: Slices, *, labelled: bool = True) -> Scale:
    """From the window's start on, with its end marked where answers came after it; the unit."""
    from matplotlib.ticker import MaxNLocator

    unit = _MINUTES if slices.span_s > _IN_MINUTES else SECONDS
    axes.set_xlim(0, slices.span_s * unit.factor)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if not labelled:
        axes.tick_params(labelbottom=False)
    if ends_early(slices):
        axes.axvline((slices.window_s or 0.0) * unit.factor, color=LIMIT, linewidth=1, linestyle=(0, (1, 2)))
    return unit


def ends_early(slices: Slices) -> bool:
    """Whether the window's end is so far before the axis's that it is marked."""
    return slices.window_s is not None and slices.window_s < _AT_THE_END * slices.span_s

"""The error timeline drawn: one row for each outcome, a mark where a request ended so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports import wording
from reports.charts.errors import ErrorRow
from reports.charts.slices import Slices
from reports.plots.canvas import INK, MUTED, SMALL, VIOLATED, axes_in, drawn, unit_below
from reports.plots.time_axis import time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _ROW, _BELOW, _ABOVE = 4.0, 0.34, 0.42, 0.08  # inches
_NAMES = 0.27  # of the width


def errors_svg(rows: Sequence[ErrorRow], slices: Slices, prefix: str) -> str:
    """Marks of each outcome over time, its count at the right."""
    height = _ROW * len(rows) + _BELOW + _ABOVE

    def paint(figure: Figure) -> None:
        box = (_NAMES, _BELOW / height, 0.6, _ROW * len(rows) / height)
        axes = axes_in(figure, box)
        unit = time_axis(axes, slices)
        axes.set_ylim(len(rows), 0)
        axes.grid(visible=False)
        axes.hlines(
            range(1, len(rows)), 0, slices.span_s * unit.factor, color=MUTED, alpha=0.25, linewidth=0.6
        )
        axes.set_yticks([at + 0.5 for at in range(len(rows))], [said(row) for row in rows], fontsize=SMALL)
        look: dict[str, Any] = {"fontsize": SMALL, "color": INK, "va": "center"}
        for at, row in enumerate(rows):
            marks = [mark * unit.factor for mark in row.marks_s]
            _draw_marks(axes, marks, at)
            axes.text(1.03, at + 0.5, wording.whole(row.total), **look, transform=axes.get_yaxis_transform())
        unit_below(axes, unit.unit)

    told = ", ".join(f"{wording.whole(row.total)} {said(row)}" for row in rows)
    return drawn(
        (_WIDTH, height), prefix, f"Requests that did not complete, over time: {told}", paint, "errors"
    )


def _draw_marks(axes: Axes, marks: Sequence[float], at: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = [(mark, y) for mark in marks for y in (at + 0.2, at + 0.8)]
    if not points:
        return
    path = Path(points, [Path.MOVETO, Path.LINETO] * len(marks))
    axes.add_patch(PathPatch(path, fill=False, edgecolor=VIOLATED, linewidth=1.2, capstyle="butt"))


def said(row: ErrorRow) -> str:
    """'timed out'."""
    return row.outcome.value.lower().replace("_", " ")

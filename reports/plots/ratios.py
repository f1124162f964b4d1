"""Comparisons drawn: a strip for each, B over A with its interval beside 1 and what counts as equal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from instruments.statistics.comparison import Change
from reports import wording
from reports.plots.canvas import (
    ALLOWED,
    INCONCLUSIVE,
    LIMIT,
    MET,
    SMALL,
    VIOLATED,
    axes_in,
    drawn,
    unit_below,
)
from reports.trials import Trial, TrialNumbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (4.0, 1.0)
_BOX = (0.03, 0.42, 0.94, 0.5)
_ABOVE = (1.02, 1.05, 1.1, 1.2, 1.3, 1.5, 2, 3, 5, 10, 20, 50, 100)
_BELOW = (0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
_APART, _REACH = 0.13, 0.9  # of the axis, between two numbers; of its half, that the outermost lies out
_COLOURS = {
    Change.WORSE: VIOLATED,
    Change.EQUIVALENT: MET,
    Change.BETTER: MET,
    Change.INCONCLUSIVE: INCONCLUSIVE,
}


def ratio_svg(trial: Trial, one: TrialNumbers, prefix: str) -> str:
    """One strip: an end that is not known runs to the edge."""
    value, low, high = (_placed(end) for end in (one.ratio.value, one.ratio.low, one.ratio.high))

    def paint(figure: Figure) -> None:
        axes = axes_in(figure, _BOX)
        axes.set_xscale("log")
        left, right = _range(one.rule.tolerance, value, low, high)
        axes.set_xlim(left, right)
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        if one.rule.tolerance is not None:
            within = 1 / (1 + one.rule.tolerance), 1 + one.rule.tolerance
            axes.axvspan(*within, color=ALLOWED, linewidth=0)
        axes.axvline(1, color=LIMIT, linewidth=1.5)
        colour = _COLOURS[one.change]
        ends = left if low is None else low, right if high is None else high
        if value is not None:
            axes.plot(ends, (0.5, 0.5), color=colour, alpha=0.5, linewidth=4, solid_capstyle="butt")
            axes.plot([value], [0.5], color=colour, marker="o", markersize=7)
        _ticks(axes, right)
        unit_below(axes, "B over A, logarithmic")

    told = f"{one.figure} of B over A {wording.figure(one.ratio.value)} {interval(one)}; {one.change}"
    return drawn(_SIZE, prefix, f"{trial.name}: {told}", paint, "ratio")


def interval(one: TrialNumbers) -> str:
    """'[0.83, 1.1]', of ratios."""
    return wording.PLAIN.interval(one.ratio.low, one.ratio.high)


def _placed(ratio: float | None) -> float | None:
    """A ratio of 0 is what has no lower end: on a logarithm it lies nowhere."""
    return ratio if ratio is not None and ratio > 0 else None


def _range(tolerance: float | None, *ends: float | None) -> tuple[float, float]:
    """Symmetric about 1, so that twice and half look alike."""
    within = [1.1, 1 + (tolerance or 0.0)]
    within += [max(end, 1 / end) for end in ends if end is not None]
    far = min(100.0, max(within)) ** 1.15
    return 1 / far, far


def _ticks(axes: Axes, right: float) -> None:
    """1, and on either side of it round numbers, as many as have room."""
    from matplotlib.ticker import NullLocator

    far = math.log(right)
    kept = [1.0]
    for side in (_ABOVE, _BELOW):
        last = 1.0
        for one in side:
            apart, reach = abs(math.log(one / last)), abs(math.log(one))
            if apart >= _APART * 2 * far and reach <= _REACH * far:
                kept.append(one)
                last = one
    axes.set_xticks(kept, [f"{tick:g}×" for tick in kept], fontsize=SMALL)
    axes.xaxis.set_minor_locator(NullLocator())

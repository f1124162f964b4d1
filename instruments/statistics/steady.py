"""Steady state: which part of a run may stand for the service, and whether any may.

A warm-up that is longer than was planned for is cut off; a run that never settles stands for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from instruments.statistics.correlation import effective_share, lag_one, ranks

Values = npt.NDArray[np.float64]
Trend = Literal["rising", "falling", "changing"]

FEWEST = 60  # with fewer values no trend is told from chance
ERROR = 0.01  # of a steady run moving beyond chance; far fewer also move by what is material
MATERIAL = 0.05  # a change of the middle value by less is no reason to throw a run away, however sure
LARGEST_CUT = 0.25  # of the values: a longer part is no warm-up but a part of the run
STRONG = 0.9  # correlation of neighbours, beyond which a run of some hundreds is a few swings
TENTHS = 10
GROUP = 5  # values that are averaged before the cut is looked for (White 1997: MSER-5)


@dataclass(frozen=True, slots=True)
class Steady:
    """How many leading values to leave out, and how the rest moves; None when it does not."""

    cut: int = 0
    trend: Trend | None = None
    change: float = 0.0  # of the middle value, last third over first third, less 1
    swing: float = 0.0  # the largest such change, the middle third's too; at least 0


def steady_part(values: Sequence[float] | Values) -> Steady:
    """Find the steady part of values in the order of their sending; inf stands for a failed request.

    Something is cut only where the values move beyond chance, and without the cut do not. Looked for in the
    whole, then in its first half, quarter, …: of a long run a short warm-up moves the middle of the whole too
    little to be seen, and its first part all the more.
    """
    array = np.asarray(values, dtype=np.float64)
    size, scales = len(array), max(1, int(math.log2(max(1, len(array) / FEWEST))))
    for _ in range(scales):
        first = array[:size]
        moves = _moves(first, ERROR / scales)
        if moves is not None:
            cut = _settled_from(first, ERROR / scales)
            if cut is not None:
                return Steady(cut)
            if size == len(array):
                return moves
        size //= 2
    return _wanders(array)


def _wanders(values: Values) -> Steady:
    """Values that hang together so much that their level is not known: how far it went, by tenths."""
    if len(values) < FEWEST or len(np.unique(values)) <= 2:  # of two values a long row is an outage
        return Steady()
    ranked = ranks(values)
    if lag_one(ranked, float(ranked.var())) < STRONG:
        return Steady()
    middles = [float(np.median(part)) for part in np.array_split(values, TENTHS)]
    swing = _swing(_change(min(middles), max(middles)))
    return Steady() if swing < MATERIAL else Steady(0, "changing", _change(middles[0], middles[-1]), swing)


def _settled_from(values: Values, error: float) -> int | None:
    """The first of a few cuts after which the values do not move any more; None when they always do."""
    best, most = _cut(values), int(len(values) * LARGEST_CUT)
    # The best cut knows the mean best; what is left of a transient may still show beyond it.
    for cut in sorted({min(times * best, most) for times in (1, 2, 3)} - {0}):
        if len(values) - cut >= FEWEST and _moves(values[cut:], error) is None:
            return cut
    return None


def _moves(values: Values, error: float) -> Steady | None:
    """How values move that are not steady; None for values that are, or are too few."""
    n = len(values)
    if n < FEWEST:
        return None
    ranked = ranks(values)
    centred = ranked - ranked.mean()
    # Noise is taken within quarters: over the whole a trend would pass for correlation, and hide itself.
    noise = np.concatenate([part - part.mean() for part in np.array_split(ranked, 4)])
    scale = math.sqrt(n * float(noise.var()) / effective_share(noise))
    if scale == 0 or 2 * min(_strays(centred, scale), _drifts(centred, scale)) > error:
        return None
    third = n // 3
    early, late = (float(np.median(part)) for part in (values[:third], values[-third:]))
    middle = float(np.median(values[third:-third]))
    change, bulge = _change(early, late), _change(early, middle)
    swing = max(_swing(change), _swing(bulge))
    if swing < MATERIAL:
        return None
    if abs(change) < MATERIAL:
        return Steady(0, "changing", change, swing)
    return Steady(0, "rising" if change > 0 else "falling", change, swing)


def _swing(change: float) -> float:
    """By how much the larger of two values is above the smaller: a fall by a half is a swing of 1."""
    return change if change >= 0 else (-change / (1 + change) if change > -1 else math.inf)


def _change(early: float, late: float) -> float:
    """late over early, less 1; inf from 0 or to inf, −1 from inf."""
    if early == late:
        return 0.0
    if math.isinf(early):
        return -1.0
    return late / early - 1 if early > 0 else math.inf


def _strays(centred: Values, scale: float) -> float:
    """The chance that sums of steady values stray so far: that of a Brownian bridge (Kolmogorov 1933)."""
    statistic = float(np.abs(np.cumsum(centred)).max()) / scale
    if statistic < 0.2:
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * statistic) ** 2) for k in range(1, 20))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def _drifts(centred: Values, scale: float) -> float:
    """The chance that ranks of steady values follow time so closely (Spearman): sooner, of an even rise."""
    n = len(centred)
    time = np.arange(n) - (n - 1) / 2
    z = float((centred * time).sum()) / (scale * math.sqrt((n * n - 1) / 12))
    return math.erfc(abs(z) / math.sqrt(2))


def _cut(values: Values) -> int:
    """Where the mean of the rest is known best: the least squared standard error (MSER-5)."""
    ranked = ranks(values)
    groups = len(ranked) // GROUP
    means = ranked[: groups * GROUP].reshape(groups, GROUP).mean(axis=1)
    counts = np.arange(groups, 0, -1)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum(np.square(means)[::-1])[::-1]
    scores = (squares - sums**2 / counts) / counts**2
    most = max(1, int(groups * LARGEST_CUT))
    return int(np.argmin(scores[:most])) * GROUP

"""Bounds for a mean of correlated values: a mean latency, a rate, a gauge's samples over a window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from instruments.statistics.correlation import Values
from instruments.statistics.sequence import half_width, student_quantile

BATCHES = 25  # of a planned look: enough for Student's t, and each long enough to be nearly independent
FEWEST = 50  # values; with fewer nothing is said
BATCH = 20  # values in each batch of an open look, whose number is not known before
TUNED_AT = 50  # batches at which an open look's bound is tightest


def mean_bounds(
    values: Sequence[float] | Values, low_error: float, high_error: float, *, anytime: bool = False
) -> tuple[float, float] | None:
    """(low, high) for the true mean: it is below `low` with a chance of `low_error` at most, and so on.

    By means of batches of neighbours (Law and Kelton 1984), which are nearly independent however the
    values hang together. `anytime`: valid at every look. None for fewer than 50 values.
    """
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    if n < FEWEST:
        return None
    size = BATCH if anytime else n // BATCHES
    count = n // size
    means = array[n - count * size :].reshape(count, size).mean(axis=1)
    deviation, mean = float(means.std(ddof=1)), float(array.mean())
    errors = (low_error, high_error)
    if anytime:
        low, high = (half_width(deviation, count, 2 * error, tuned_at=TUNED_AT) for error in errors)
    else:
        scale = deviation / math.sqrt(count)
        low, high = (scale * student_quantile(1 - error, count - 1) for error in errors)
    return mean - low, mean + high

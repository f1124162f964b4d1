"""Bounds for a mean of correlated values: a mean latency, a rate over the slices of a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruments.statistics.correlation import Values
from instruments.statistics.sequence import FEWEST as FEWEST_BATCHES
from instruments.statistics.sequence import half_width

BATCH = 20  # neighbours, whose means are nearly independent however these hang together (Law and Kelton 1984)
FEWEST = BATCH * FEWEST_BATCHES  # values; with fewer nothing is said
TUNED_AT = 50  # batches at which the bounds are tightest


def mean_bounds(
    values: Sequence[float] | Values, low_error: float, high_error: float
) -> tuple[float, float] | None:
    """(low, high) for the true mean: it is below `low` with a chance of `low_error` at most, and so on.

    Valid at every look, and taken at a single planned one too: Student's t of so few batches of so skewed
    values is wrong twice as often as it says, this is not. None for fewer than 160 values.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < FEWEST:
        return None
    count = len(array) // BATCH
    means = array[len(array) - count * BATCH :].reshape(count, BATCH).mean(axis=1)
    deviation, mean = float(means.std(ddof=1)), float(array.mean())
    low, high = (
        half_width(deviation, count, min(2 * error, 0.99), tuned_at=TUNED_AT)
        for error in (low_error, high_error)
    )
    return mean - low, mean + high

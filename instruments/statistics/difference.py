"""The difference of two values that were each measured with an interval, with an interval of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its interval, in any unit; an end of ±inf is not known.

    ValueError unless low <= value <= high.
    """

    value: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"a value lies within its interval, got {self}")

    @property
    def side(self) -> int:
        """1 where all of the interval is above 0, −1 where all is below, 0 where it holds 0 or touches it."""
        return (self.low > 0) - (self.high < 0)


def difference(before: Estimate, after: Estimate) -> Estimate:
    """`after` − `before`, both measured apart from each other, at the confidence of their two intervals.

    The method of variance estimates recovery: what an end lies away from its value tells how uncertain the
    value is on that side, and these distances add up as variances do. Intervals need not be symmetric:
    quantiles' and shares' are not. Of two differing confidences, the result has the lower one at least.
    Zou and Donner 2008, "Construction of confidence limits about effect measures: a general approach",
    Statistics in Medicine 27; of two shares with Wilson's intervals it is Newcombe's method 10 (1998).
    """
    value = after.value - before.value
    below = math.hypot(after.value - after.low, before.high - before.value)
    above = math.hypot(after.high - after.value, before.value - before.low)
    return Estimate(value, value - below, value + above)

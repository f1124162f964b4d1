"""Intervals for a mean of independent values: one that may be looked at after each, one for a single look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = Sequence[float] | NDArray[np.float64]

FEWEST = 8  # values before the sequence says anything: see `interval`


def interval(values: Values, error: float, *, tuned_at: int) -> tuple[float, float]:
    """A two-sided confidence sequence for a mean: it holds the mean at every look with probability 1 − error.

    The mixture that Robbins' normal one (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2021, "Time-uniform
    central limit theory and asymptotic confidence sequences") becomes when the standard deviation is not
    known but estimated: Lindon, Ham, Tingley, Bojinov 2022, "Anytime-valid inference in linear models".
    Exact at every look for normal values; for others as they come to be normal in the mean. From 8 values on
    its error is kept by symmetric values (a difference of two equal things is symmetric); a mean of skewed
    ones needs more: of exponential values it misses in 8 % where 2 % are asked. Narrowest about `tuned_at`.
    """
    n = len(values)
    if n < FEWEST:
        return -math.inf, math.inf
    mean, deviation = moments(values)
    half = half_width(deviation, n, error, tuned_at=tuned_at)
    return mean - half, mean + half


def half_width(deviation: float, n: int, error: float, *, tuned_at: int) -> float:
    """Half the width of the confidence sequence after n values of this deviation; inf while too few."""
    if n < FEWEST:
        return math.inf
    return deviation * _in_deviations(n, error, tuned_at)


@lru_cache(maxsize=4096)
def _in_deviations(n: int, error: float, tuned_at: int) -> float:
    """With u = t²/(n − 1) the mixture is √r ((1 + u)/(1 + r u))^(n/2), r = φ/(φ + n): solved for 1/error.

    φ is the precision of the mixing normal law of mean over deviation, chosen as in equation 28 of the first
    source to make the sequence narrow at `tuned_at`.
    """
    doubt = -2 * math.log(error)
    phi = tuned_at / (doubt + math.log(doubt + 1))
    r = phi / (phi + n)
    k = (error * error * r) ** (1 / n)
    return math.sqrt((n - 1) / n * (1 - k) / (k - r)) if k > r else math.inf


def fixed_interval(values: Values, error: float) -> tuple[float, float]:
    """Student's two-sided interval for a mean: for one look, at a number of values fixed before."""
    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    mean, deviation = moments(values)
    half = student_quantile(1 - error / 2, n - 1) * deviation / math.sqrt(n)
    return mean - half, mean + half


def moments(values: Values) -> tuple[float, float]:
    """Mean and standard deviation (of n − 1) of two values or more."""
    known = np.asarray(values, dtype=np.float64)
    return float(known.mean()), float(known.std(ddof=1))


@lru_cache(maxsize=4096)
def student_quantile(p: float, degrees: int) -> float:
    """The p-quantile of Student's t with a whole number of degrees of freedom, to a relative 1e-12."""
    if not 0 < p < 1 or degrees < 1:
        raise ValueError(f"a share within (0, 1) and at least 1 degree of freedom, got {p} and {degrees}")
    if p < 0.5:
        return -student_quantile(1 - p, degrees)
    low, high = 0.0, 1.0
    while _student_within(high, degrees) < 2 * p - 1:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, degrees) < 2 * p - 1 else (low, middle)
    return (low + high) / 2


def _student_within(t: float, degrees: int) -> float:
    """P(|T| <= t). Abramowitz and Stegun, 26.7.3 and 26.7.4: finite sums in the angle of t/√degrees."""
    angle = math.atan2(t, math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(2 + odd, degrees - 1, 2):
        term *= cosine * cosine * (power - 1) / power
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total

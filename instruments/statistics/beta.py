"""The incomplete beta function, by its logarithm: binomial tails for counts that need not be whole.

A sample of correlated requests is worth fewer independent ones, seldom a whole number of them.
"""

from __future__ import annotations

import math

_TINY, _CLOSE, _MOST_TERMS = 1e-300, 1e-15, 10_000


def log_beta(a: float, b: float) -> float:
    """ln B(a, b)."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_below(x: float, a: float, b: float) -> float:
    """ln of the share of a Beta(a, b) below x: ln I_x(a, b). Exact to about 1e-12 deep in the tail too.

    Source: the continued fraction of DLMF 8.17.22, evaluated as in Lentz 1976, on the side of the
    mean where it converges within about the square root of a + b terms.
    """
    if x <= 0.0:
        return -math.inf
    if x >= 1.0:
        return 0.0
    if x > (a + 1) / (a + b + 2):
        return math.log1p(-min(math.exp(_log_tail(1 - x, b, a)), 1 - 2**-53))
    return _log_tail(x, a, b)


def log_above(x: float, a: float, b: float) -> float:
    """ln of the share of a Beta(a, b) above x."""
    return log_below(1 - x, b, a)


def _log_tail(x: float, a: float, b: float) -> float:
    """ln I_x(a, b) for x on the near side of the mean."""
    front = a * math.log(x) + b * math.log1p(-x) - math.log(a) - log_beta(a, b)
    return min(0.0, front + math.log(_fraction(x, a, b)))


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    total = d
    for m in range(1, _MOST_TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + numerator * d
            d = 1 / (d if abs(d) > _TINY else _TINY)
            c = 1 + numerator / c
            c = c if abs(c) > _TINY else _TINY
            total *= c * d
        if abs(c * d - 1) < _CLOSE:
            return total
    raise ArithmeticError(f"the incomplete beta function did not converge at x={x}, a={a}, b={b}")

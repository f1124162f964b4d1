"""Evidence that may be looked at as often as one likes: for and against a share of bad requests.

The evidence that a share lies beyond a bound p is a likelihood ratio: of the shares beyond it, mixed by a
prior, over p itself. While the true share is at p or on its other side, that ratio is a nonnegative
supermartingale which starts at 1, so that it ever reaches 1/error with a chance of at most `error`, however
often it is looked at and whenever the sampling stops (Ville 1939; Robbins 1970; Ramdas et al. 2023,
"Game-theoretic statistics and safe anytime-valid inference").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from instruments.statistics.beta import log_above, log_below, log_beta

# The prior is Beta(a, a (1 − p) / p), cut at p: its mean is the bound, its width a few times the bound. With
# a = 1/2 it takes 72 good requests for evidence of 20 at p95, where one planned look at 95 % needs 59.
PRIOR = 0.5
_LEAST = 1e-9  # of shares that are looked at


def log_evidence_below(bad: float, n: float, bound: float) -> float:
    """ln of the evidence that the share of bad requests is below the bound, by `bad` among `n`."""
    return _log_evidence(bad, n, bound, above=False)


def log_evidence_above(bad: float, n: float, bound: float) -> float:
    """ln of the evidence that the share of bad requests is above the bound."""
    return _log_evidence(bad, n, bound, above=True)


def consistent_counts(n: float, share: float, error: float) -> tuple[float, float]:
    """Between which counts of n the evidence against a share stays below 1/error, on both sides.

    What is outside is ever seen with a chance of at most `error`: ranks of a quantile's confidence sequence.
    """
    threshold = math.log(2 / error)
    mean = n * share
    low = _edge(lambda count: log_evidence_below(count, n, share) - threshold, 0.0, mean)
    high = _edge(lambda count: log_evidence_above(count, n, share) - threshold, n, mean)
    return low, high


def share_sequence(bad: float, n: float, error: float) -> tuple[float, float]:
    """Between which shares the evidence stays below 1/error on both sides: a confidence sequence."""
    threshold = math.log(2 / error)
    seen = min(max(bad / n, 2 * _LEAST), 1 - 2 * _LEAST)
    low = _edge(lambda share: log_evidence_above(bad, n, share) - threshold, _LEAST, seen)
    high = _edge(lambda share: log_evidence_below(bad, n, share) - threshold, 1 - _LEAST, seen)
    return (0.0 if bad <= 0 else low), (1.0 if bad >= n else high)


def _edge(excess: Callable[[float], float], far: float, near: float) -> float:
    """Where evidence, which falls from `far` to `near`, crosses the threshold; `far` where it never does."""
    if excess(far) < 0:
        return far
    for _ in range(60):
        middle = (far + near) / 2
        if excess(middle) >= 0:
            far = middle
        else:
            near = middle
    return near


def _log_evidence(bad: float, n: float, bound: float, *, above: bool) -> float:
    b = PRIOR * (1 - bound) / bound
    cut = log_above if above else log_below
    good = n - bad
    posterior = log_beta(bad + PRIOR, good + b) + cut(bound, bad + PRIOR, good + b)
    return posterior - _log_prior(bound, above=above) - bad * math.log(bound) - good * math.log1p(-bound)


@lru_cache(maxsize=256)
def _log_prior(bound: float, *, above: bool) -> float:
    b = PRIOR * (1 - bound) / bound
    return log_beta(PRIOR, b) + (log_above if above else log_below)(bound, PRIOR, b)

"""Is the share of bad requests below what is allowed? The one question behind every objective on requests.

A p95 limit allows 5 % to be over it, an error share of 1 % allows 1 % to fail. MET is a claim that the
true share is below what is allowed, VIOLATED that it is above, each wrong in at most a stated share of runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from instruments.statistics.beta import log_above, log_below
from instruments.statistics.correlation import Values, effective_share_of_bad, effective_share_pooled
from instruments.statistics.evidence import log_evidence_above, log_evidence_below
from instruments.statistics.quantiles import requests_needed

NEXT_LOOK = 1.05  # times as many requests as at the last one: what a look costs stays a share of the run
MOST_REQUESTS = 10_000_000  # beyond it nobody is told to wait


class Looks(StrEnum):
    """How often a run is looked at before it is judged."""

    PLANNED = "planned"  # once, at a size that was fixed before: the exact binomial test
    OPEN = "open"  # whenever it pleases, until it is decided: evidence that stays valid under that


class Answer(StrEnum):
    BELOW = "below"  # the true share is below what is allowed
    ABOVE = "above"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rule:
    """The question: how many may be bad, how wrong each answer may be, how often one looks."""

    allowed: float  # share, between 0 and 1
    below_error: float  # chance of the answer BELOW where it is not so
    above_error: float
    looks: Looks = Looks.PLANNED


@dataclass(frozen=True, slots=True)
class ShareAnswer:
    """What a sample says, and what that rests on."""

    answer: Answer
    requests: int
    bad: int
    effective: float  # independent requests that these are worth
    more: int | None = None  # requests that would decide it, if they are as those so far; None when unsure


def decide_share(values: Sequence[float] | Values, limit: float, rule: Rule) -> ShareAnswer:
    """Decide on `values` in the order of their sending; a value above `limit` is bad, inf is always.

    For flags the values are 0 and 1 and the limit 0.5.
    """
    array = np.asarray(values, dtype=np.float64)
    ones = np.ones(len(array))
    return _decide(
        _Sample(ones, (array > limit).astype(np.float64), lambda: effective_share_of_bad(array, limit)), rule
    )


def decide_pooled(sizes: Sequence[int] | Values, bad: Sequence[int] | Values, rule: Rule) -> ShareAnswer:
    """The same for requests of which each has several values, `bad` of them over the limit.

    Values of one request hang together: it is requests that are drawn, not values. `requests` and `bad`
    of the answer are counts of values.
    """
    counts, over = np.asarray(sizes, dtype=np.float64), np.asarray(bad, dtype=np.float64)
    return _decide(_Sample(counts, over, lambda: effective_share_pooled(counts, over)), rule)


def evidence(bad: float, n: float, rule: Rule) -> Answer:
    """What `bad` among `n` independent requests say at an open look."""
    if bad < n * rule.allowed:
        enough = log_evidence_below(bad, n, rule.allowed) >= -math.log(rule.below_error)
        return Answer.BELOW if enough else Answer.UNKNOWN
    enough = log_evidence_above(bad, n, rule.allowed) >= -math.log(rule.above_error)
    return Answer.ABOVE if enough else Answer.UNKNOWN


def decide_counts(bad: float, n: float, rule: Rule) -> Answer:
    """The same where only counts are known, of what are independent requests or worth as many."""
    if n <= 0:
        return Answer.UNKNOWN
    return (_planned if rule.looks is Looks.PLANNED else evidence)(bad, n, rule)


def look_sizes(fewest: int, n: int) -> Iterator[int]:
    """After how many requests a run of n is looked at while it goes; the last is n."""
    size = max(1, fewest)
    while size < n:
        yield size
        size = max(size + 1, math.ceil(size * NEXT_LOOK))
    yield n


@dataclass(frozen=True, slots=True)
class _Sample:
    """Requests in the order of their sending: how many values each has, how many of them are bad."""

    sizes: Values
    bad: Values
    effective_share: Callable[[], float]


def _decide(sample: _Sample, rule: Rule) -> ShareAnswer:
    """The answer of all that there is: at open looks too the evidence of a run is that of its last one."""
    n, bad = int(sample.sizes.sum()), int(sample.bad.sum())
    if n == 0:
        return ShareAnswer(Answer.UNKNOWN, 0, 0, 0.0)
    share = sample.effective_share()
    answer = decide_counts(bad * share, n * share, rule)
    more = None
    if answer is Answer.UNKNOWN:
        more = (_more_planned if rule.looks is Looks.PLANNED else _more_open)(bad, n, share, rule)
    return ShareAnswer(answer, n, bad, n * share, more)


def _planned(bad: float, n: float, rule: Rule) -> Answer:
    """The exact binomial test, for counts that need not be whole (Korn and Graubard 1998)."""
    # P(X <= k) of a binomial(n, p) is the share of a Beta(k + 1, n − k) above p.
    if n > bad and log_above(rule.allowed, bad + 1, n - bad) <= math.log(rule.below_error):
        return Answer.BELOW
    if bad > 0 and log_below(rule.allowed, bad, n - bad + 1) <= math.log(rule.above_error):
        return Answer.ABOVE
    return Answer.UNKNOWN


def _more_planned(bad: int, n: int, share: float, rule: Rule) -> int:
    """How many further good ones would make it BELOW."""
    needed = requests_needed(math.ceil(bad * share), rule.allowed, 1 - rule.below_error)
    return max(1, math.ceil(needed / share) - n)


def _more_open(bad: int, n: int, share: float, rule: Rule) -> int | None:
    """How many more would decide it, were the same share of them bad."""
    low, high = n, 2 * n
    rate = bad / n

    def decided(size: int) -> bool:
        return evidence(rate * size * share, size * share, rule) is not Answer.UNKNOWN

    while not decided(high):
        low, high = high, 2 * high
        if high > MOST_REQUESTS:
            return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high - n

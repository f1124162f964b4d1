"""Shares decided at one planned look, and whenever one likes: errors, families, how many more it takes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from instruments.statistics.evidence import log_evidence_above, log_evidence_below
from instruments.statistics.shares import (
    Answer,
    Looks,
    Rule,
    decide_counts,
    decide_pooled,
    decide_share,
    look_sizes,
)

P95 = Rule(0.05, 0.05, 0.05)
OPEN = Rule(0.05, 0.05, 0.05, Looks.OPEN)


def sample(n: int, bad: int) -> list[float]:
    """`bad` of n at 2 s, the rest at 1 s, strewn evenly, so that nothing hangs together."""
    values = np.ones(n)
    values[np.random.default_rng(n + bad).permutation(n)[:bad]] = 2.0
    return [float(value) for value in values]


@pytest.mark.parametrize(
    ("n", "bad", "answer"),
    [(59, 0, Answer.BELOW), (58, 0, Answer.UNKNOWN), (93, 1, Answer.BELOW), (92, 1, Answer.UNKNOWN)],
)
def test_a_planned_look_needs_what_the_binomial_tail_asks_for(n: int, bad: int, answer: Answer) -> None:
    """MLPerf's early stopping at p95 and 95 %: 59 with none over, 93 with one."""
    assert decide_share(sample(n, bad), 1.5, P95).answer is answer


def test_p99_at_95_percent_needs_299_requests() -> None:
    rule = Rule(0.01, 0.05, 0.05)
    assert decide_share(sample(298, 0), 1.5, rule).answer is Answer.UNKNOWN
    assert decide_share(sample(298, 0), 1.5, rule).more == 1
    assert decide_share(sample(299, 0), 1.5, rule).answer is Answer.BELOW


def test_an_open_look_asks_for_more_as_it_may_be_repeated() -> None:
    assert decide_share(sample(71, 0), 1.5, OPEN).answer is Answer.UNKNOWN
    assert decide_share(sample(72, 0), 1.5, OPEN).answer is Answer.BELOW


def test_a_family_of_twenty_asks_twenty_times_more_before_it_calls_a_limit_broken() -> None:
    """13 bad of 100 at 5 %: P(X >= 13) = 0.0015, below 5 % and 5 %/20 = 0.0025. 12: 0.0043, not below."""
    alone, many = P95, Rule(0.05, 0.05, 0.05 / 20)
    assert decide_share(sample(100, 12), 1.5, alone).answer is Answer.ABOVE
    assert decide_share(sample(100, 12), 1.5, many).answer is Answer.UNKNOWN
    assert decide_share(sample(100, 13), 1.5, many).answer is Answer.ABOVE


def test_what_is_said_to_be_needed_decides() -> None:
    answer = decide_share(sample(400, 12), 1.5, OPEN)
    assert answer.answer is Answer.UNKNOWN
    assert answer.more is not None
    n, bad = 400 + answer.more, 12 * (400 + answer.more) / 400
    assert decide_counts(bad, n, OPEN) is Answer.BELOW
    assert decide_counts(bad * 0.9, n * 0.9, OPEN) is Answer.UNKNOWN


def test_a_share_just_as_allowed_is_told_no_number() -> None:
    assert decide_share(sample(400, 20), 1.5, OPEN).more is None


def test_requests_that_hang_together_are_worth_fewer() -> None:
    """Twelve bad in a row of 93 is one event: nothing is sure. The same twelve strewn are a broken limit."""
    row = [2.0] * 12 + [1.0] * 81
    assert decide_share(sample(93, 12), 1.5, P95).answer is Answer.ABOVE
    found = decide_share(row, 1.5, P95)
    assert found.effective < 30
    assert found.answer is Answer.UNKNOWN


def test_values_of_few_requests_are_no_more_than_requests() -> None:
    """Ten thousand gaps of fifty requests, all good: worth fifty, and p95 needs 59."""
    assert decide_pooled([200] * 50, [0] * 50, P95).answer is Answer.UNKNOWN
    assert decide_pooled([200] * 59, [0] * 59, P95).answer is Answer.BELOW


def test_nothing_says_nothing() -> None:
    assert decide_share([], 1.0, P95).answer is Answer.UNKNOWN
    assert decide_pooled([], [], OPEN).answer is Answer.UNKNOWN
    assert decide_counts(0, 0, P95) is Answer.UNKNOWN


def test_looks_grow_with_the_run_and_end_with_it() -> None:
    sizes = list(look_sizes(96, 1_000))
    assert (sizes[0], sizes[1], sizes[-1]) == (96, 101, 1_000)
    assert all(later > earlier for earlier, later in pairwise(sizes))
    assert list(look_sizes(50, 20)) == [20]


def test_stopping_when_it_suits_does_not_make_errors_more_frequent() -> None:
    """1,000 runs with the allowed share, stopped at the first look that decides: each error within its bound.

    The fixed-size test, repeated at the same looks, is wrong three times as often as it says.
    """
    rng = np.random.default_rng(8)
    sequential = repeated = 0
    looks = list(look_sizes(100, 5_000))
    for _ in range(1_000):
        bad = np.cumsum(rng.random(5_000) < 0.05)
        counts = [(float(bad[n - 1]), n) for n in looks]
        sequential += any(_evident(k, n) for k, n in counts)
        repeated += any(decide_counts(k, n, P95) is not Answer.UNKNOWN for k, n in counts)
    bound = 0.1 + 3 * math.sqrt(0.1 * 0.9 / 1_000)  # 5 % on either side
    assert sequential / 1_000 < bound
    assert repeated / 1_000 > 3 * bound


def _evident(bad: float, n: int) -> bool:
    side = log_evidence_below if bad < n * 0.05 else log_evidence_above
    return side(bad, n, 0.05) >= math.log(20)

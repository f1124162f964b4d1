"""An interleaved comparison of two endpoints, A and B, judged: pairs of blocks of requests, failures too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from instruments.records import Outcome
from instruments.statistics.comparison import (
    Change,
    CompareRule,
    ComparisonState,
    decide_failures,
    decide_pairs,
    pairs_more,
)
from instruments.statistics.indicators import INDICATORS, Indicator
from instruments.statistics.quantiles import quantile
from instruments.statistics.summary import RunSummary

# Of the false alarms that a rule allows, so much is for "B fails more", the rest for "B is slower".
FAILURES_SHARE = 0.2
# Odds at which failures in B are a suspicion: no proof, but B does not pass for equal either.
SUSPICION = 0.5
VOID_SHARE, VOID_FEWEST = 0.1, 2  # more void pairs than this, and the client is what was measured


@dataclass(frozen=True, slots=True)
class Figure:
    """What is compared: an indicator of single requests, and its quantile ("p50") or mean over a block."""

    indicator: str = "ttft_s"
    statistic: str = "p50"

    def __post_init__(self) -> None:
        known = INDICATORS.get(self.indicator)
        timed = [name for name, one in INDICATORS.items() if is_timed(one)]
        if known is None or not is_timed(known):
            raise ValueError(f"indicator {self.indicator!r} cannot be compared; known: {', '.join(timed)}")
        if self.statistic != "mean" and not 0 < self.quantile < 1:
            raise ValueError(f"statistic {self.statistic!r} is not one of p50, p95, …, mean")

    @property
    def quantile(self) -> float:
        """0.95 for p95; NaN for a mean, and for what is no quantile."""
        try:
            return round(float(self.statistic.removeprefix("p")) / 100, 6)
        except ValueError:
            return math.nan

    @property
    def requests_least(self) -> int:
        """Fewer in a block, and its quantile is only its slowest request."""
        return 1 if self.statistic == "mean" else math.ceil(1 / (1 - self.quantile) - 1e-9)

    def __str__(self) -> str:
        return f"{INDICATORS[self.indicator].label} {self.statistic}"

    def of(self, summary: RunSummary) -> float:
        """The value in seconds; inf where so many failed, NaN where nothing was measured.

        A request that failed, or was never sent, is slower than all others.
        """
        known = summary.distributions[self.indicator]
        ordered = (*known, *([math.inf] * (judged_requests(summary, self.indicator) - len(known))))
        if self.statistic == "mean":
            return math.fsum(ordered) / len(ordered) if ordered else math.nan
        value = quantile(ordered, self.quantile)
        return math.nan if value is None else value


def is_timed(indicator: Indicator) -> bool:
    return indicator.of is not None and indicator.unit == "s"


def judged_requests(summary: RunSummary, indicator: str) -> int:
    """Requests that an indicator speaks of: none that left on purpose, no cadence of a single token."""
    alone = indicator == "tpot_s"
    return sum(
        record.outcome is not Outcome.CANCELLED
        and not (alone and record.outcome is Outcome.COMPLETED and record.completion_tokens == 1)
        for record in summary.records
    )


def doubts(summary: RunSummary) -> tuple[str, ...]:
    """Why a load cannot be compared with another: its client disturbed it, or it did not end well."""
    if summary.complete and not summary.problems:
        return summary.void
    ended = summary.stopped_because or "; ".join(summary.problems) or "it did not come to its end"
    return (*summary.void, ended)


@dataclass(frozen=True, slots=True)
class Block:
    """One arm's part of a pair. `value` in seconds: inf where so many failed, NaN where nothing was due.

    `void`: why it does not count. `cut_off`: only because it did not end well, not for its client's sake.
    """

    run: str
    value: float
    requests: int
    failed: int
    void: tuple[str, ...] = ()
    cut_off: bool = False

    @classmethod
    def of(cls, summary: RunSummary, figure: Figure) -> Block:
        requests, void = judged_requests(summary, figure.indicator), doubts(summary)
        cut_off = bool(void) and not summary.void
        return cls(summary.name, figure.of(summary), requests, summary.errors, void, cut_off)

    @property
    def log(self) -> float:
        """Natural logarithm of the value; −inf for a value of 0, which is as little a number as inf."""
        return -math.inf if self.value == 0 else math.log(self.value)


Pair = tuple[Block, Block]  # A's and B's, whichever ran first


@dataclass(frozen=True, slots=True)
class Comparison:
    """B beside A, judged. `pairs_more`: how many further pairs would likely decide it."""

    figure: Figure
    rule: CompareRule
    change: Change
    reason: str
    state: ComparisonState
    pairs: tuple[Pair, ...]
    pairs_more: int | None = None

    @property
    def failed(self) -> tuple[int, int]:
        """Requests that failed in A, in B."""
        return sum(a.failed for a, _ in self.pairs), sum(b.failed for _, b in self.pairs)

    @property
    def requests(self) -> tuple[int, int]:
        """Requests in A, in B."""
        return sum(a.requests for a, _ in self.pairs), sum(b.requests for _, b in self.pairs)

    def measured(self) -> str:
        """The ratio with its interval, and the counts, as one line."""
        value, low, high = self.state.ratio
        said = "–" if math.isnan(value) else f"{value:.4g}"
        ends = f"[{low:.4g}, {'∞' if high == math.inf else f'{high:.4g}'}]"
        shares = ", ".join(
            f"{arm} {failed} of {requests}"
            for arm, failed, requests in zip("AB", self.failed, self.requests, strict=True)
        )
        return (
            f"{self.figure}: B is {said} {ends} times A ({100 - 100 * self.state.error:.3g} % at every look) "
            f"after {self.state.pairs} pairs; failed: {shares}"
        )


def judge_pairs(
    pairs: Sequence[Pair], figure: Figure | None = None, rule: CompareRule | None = None
) -> Comparison:
    """One look at all pairs so far; to be stopped at the first that is not INCONCLUSIVE.

    A pair with a block that the client disturbed, or that was cut off, is left out whole, A's and B's, which
    favours neither; when there are many of them nothing is decided but that B fails more.
    """
    figure, rule = figure or Figure(), rule or CompareRule()
    known = [pair for pair in pairs if not (pair[0].void or pair[1].void)]
    slower = replace(rule, false_alarm=rule.false_alarm * (1 - FAILURES_SHARE))
    odd = [block for pair in known for block in pair if not math.isfinite(block.log)]
    differences = [] if odd else [b.log - a.log for a, b in known]
    state = decide_pairs(differences, slower)
    change, reason = _decided(pairs, odd, state, rule)
    more = None if change is not Change.INCONCLUSIVE or odd else pairs_more(state, slower)
    return Comparison(figure, rule, change, reason, state, tuple(pairs), more)


def _decided(
    pairs: Sequence[Pair], odd: Sequence[Block], state: ComparisonState, rule: CompareRule
) -> tuple[Change, str]:
    if disturbed := _voided(pairs, cut_off=False):
        return Change.INCONCLUSIVE, disturbed
    b_more = sum(_fails_more(b, a) for a, b in pairs)
    a_more = sum(_fails_more(a, b) for a, b in pairs)
    error = rule.false_alarm * FAILURES_SHARE
    if decide_failures(b_more, a_more, error):
        return Change.WORSE, f"requests failed more at B in {b_more} pairs, at A in {a_more}"
    if cut_off := _voided(pairs, cut_off=True):
        return Change.INCONCLUSIVE, cut_off
    if odd:
        return _without_a_number(odd, b_more, a_more, error)
    if state.change in (Change.EQUIVALENT, Change.BETTER) and decide_failures(b_more, a_more, SUSPICION):
        said = f"{state.change} in time, but requests failed more at B in {b_more} pairs, at A in {a_more}"
        return Change.INCONCLUSIVE, said
    return state.change, _words(state, rule)


def _voided(pairs: Sequence[Pair], *, cut_off: bool) -> str | None:
    """What so many void pairs leave to be said, with those cut off or without; None where they are few."""
    void = [
        reasons
        for pair in pairs
        if (reasons := [one.void[0] for one in pair if one.void and (cut_off or not one.cut_off)])
    ]
    if len(void) <= max(VOID_FEWEST, VOID_SHARE * len(pairs)):
        return None
    return f"{len(void)} of {len(pairs)} pairs are void: {void[0][0]}"


def _fails_more(one: Block, other: Block) -> bool:
    """Whether a pair's failures speak against `one`.

    A block that was cut off speaks against itself alone: a dead endpoint stops its own blocks, and beside
    one that was stopped early for another reason, a whole block had more chances to fail.
    """
    return not other.void and (one.cut_off or not one.void) and one.failed > other.failed


def _without_a_number(odd: Sequence[Block], b_more: int, a_more: int, error: float) -> tuple[Change, str]:
    """No mean of what has no number; failures alone may still decide."""
    if decide_failures(a_more, b_more, error):
        return Change.BETTER, f"requests failed more at A in {a_more} pairs, at B in {b_more}"
    first = odd[0]
    if math.isnan(first.value):
        return Change.INCONCLUSIVE, f"nothing was measured in {first.run}"
    said = "0" if first.value == 0 else "infinite, so many requests failed"
    return (
        Change.INCONCLUSIVE,
        f"the value of {len(odd)} blocks is {said}: {first.run}, {first.failed} failed",
    )


def _words(state: ComparisonState, rule: CompareRule) -> str:
    within = "" if rule.tolerance is None else f"{rule.tolerance * 100:g} %"
    beyond = f" by more than {rule.margin * 100:g} %" if rule.margin else ""
    match state.change:
        case Change.EQUIVALENT:
            side = (
                "; slower all the same"
                if state.low > 0
                else "; faster all the same"
                if state.high < 0
                else ""
            )
            return f"the difference lies within {within}{side}"
        case Change.WORSE:
            return f"B is slower{beyond}"
        case Change.BETTER:
            return f"B is faster{beyond}"
    if state.pairs < rule.pairs_least:
        return f"too few pairs to tell: {state.pairs} of at least {rule.pairs_least}"
    return (
        "too few pairs to tell"
        if not within
        else f"too few pairs to tell apart from a difference of {within}"
    )

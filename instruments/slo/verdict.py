"""Verdicts: MET, VIOLATED or INCONCLUSIVE, each with its evidence.

Every objective but a count comes down to one question: is the share of bad requests below what the
objective allows? A p95 limit allows 5 % over it, an error share of 1 % allows 1 % to fail. With k bad
among n, MET when P(X <= k) <= 1 − confidence for X binomial at the allowed share, VIOLATED when
P(X >= k) is; between the two the run is too small to tell (MLPerf Inference's early stopping).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from instruments.errors import SloError
from instruments.records import Outcome, RequestRecord
from instruments.slo.goodput import is_good
from instruments.slo.objective import ServiceLevelObjective
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.quantiles import (
    binomial_at_least,
    binomial_at_most,
    quantile,
    quantile_interval,
    requests_needed,
    share_interval,
)
from instruments.statistics.summary import RunSummary

# A client whose own lag is more than this share of a limit measures itself, whatever it reads.
CLIENT_ERROR_SHARE = 0.5


class State(StrEnum):
    MET = "MET"
    VIOLATED = "VIOLATED"
    INCONCLUSIVE = "INCONCLUSIVE"


class VerdictError(SloError):
    """An objective was not met."""


class ObjectiveViolated(VerdictError):
    """The data show that the objective is broken."""


class ObjectiveInconclusive(VerdictError):
    """The data cannot tell. Never a pass."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement with what it rests on. `value` and the interval are in the indicator's unit.

    An interval's end of None is unbounded: requests that failed have no latency, only a place
    above every limit.
    """

    objective: ServiceLevelObjective
    run: str
    state: State
    reason: str
    requests: int  # that the judgement rests on
    bad: int  # of these, how many were over the limit, failed or never sent
    value: float | None = None
    low: float | None = None
    high: float | None = None
    requests_more: int | None = None  # how many further good ones would decide it

    @property
    def headroom(self) -> float | None:
        """Limit over value (or its inverse for `at_least`): 3.0 is a third of the limit."""
        if not self.value or self.value <= 0:
            return None
        ratio = self.objective.limit / self.value
        return ratio if self.objective.at_most is not None else 1 / ratio

    def require_met(self) -> None:
        """Raise unless a required objective was met: an INCONCLUSIVE never passes."""
        if self.state is State.MET or not self.objective.required:
            return
        kind = ObjectiveViolated if self.state is State.VIOLATED else ObjectiveInconclusive
        raise kind(
            f"{self.state}: {self.objective.id}: {self.reason}",
            expected=f"{self.objective} at {self.objective.confidence:.0%} confidence",
            seen=self.measured(),
            hint=f"{self.requests_more} more requests would decide it" if self.requests_more else None,
        )

    def measured(self) -> str:
        """The value with its interval, its count and its bad ones, as one line."""
        unit = " s" if INDICATORS[self.objective.indicator].unit == "s" else ""
        value = "–" if self.value is None else f"{self.value:.4g}{unit}"
        interval = ""
        if self.low is not None or self.high is not None:
            ends = (
                "–" if self.low is None else f"{self.low:.4g}",
                "∞" if self.high is None else f"{self.high:.4g}",
            )
            interval = f" [{ends[0]}, {ends[1]}]"
        return f"{value}{interval}, {self.bad} of {self.requests} requests bad"


def evaluate(summary: RunSummary, objective: ServiceLevelObjective) -> Verdict:
    """Judge one objective on one run."""
    judged, bad = _bad_requests(summary, objective)
    if not judged:
        return Verdict(objective, summary.name, State.INCONCLUSIVE, "nothing was measured", 0, 0)
    value, low, high = _estimate(summary, objective, judged, bad)
    state, reason, more = _decide(objective, len(judged), bad)
    if summary.void:
        state, more = State.INCONCLUSIVE, None
        reason = f"the run is void, the client disturbed it: {'; '.join(summary.void)}"
    elif state is State.MET and (trouble := _trouble(summary)):
        state, reason = State.INCONCLUSIVE, f"the run did not end well: {trouble}"
    elif state is not State.INCONCLUSIVE and (doubt := _doubt(summary, objective, state)):
        state, reason, more = State.INCONCLUSIVE, doubt, None
    return Verdict(objective, summary.name, state, reason, len(judged), bad, value, low, high, more)


def _bad_requests(
    summary: RunSummary, objective: ServiceLevelObjective, late_s: float = 0.0
) -> tuple[Sequence[RequestRecord], int]:
    """The requests that an objective speaks of, and how many are bad if stamps were late by so much.

    A client that left on purpose says nothing, unless it had waited for longer than the limit by then.
    """
    judged = [
        record
        for record in summary.records
        if record.outcome is not Outcome.CANCELLED or _outwaited(record, objective, late_s)
    ]
    indicator = INDICATORS[objective.indicator]
    if indicator.of is None:
        limits = objective.per_request
        return judged, sum(not is_good(record, limits, late_s) for record in judged)
    limits = {objective.indicator: objective.limit}
    if objective.indicator == "tpot_s":  # an answer of one token has no cadence to judge
        judged = [record for record in judged if record.completion_tokens != 1]
    return judged, sum(not is_good(record, limits, late_s) for record in judged)


def _outwaited(record: RequestRecord, objective: ServiceLevelObjective, late_s: float) -> bool:
    """Whether a client that left had already waited for longer than a limit on a latency.

    To leave such a request out would make a slow server look the better, the more of its users lose patience.
    """
    timed = INDICATORS[objective.indicator].unit == "s"
    limits = {objective.indicator: objective.limit} if timed else objective.per_request
    for name, limit in limits.items():
        begun_ns = record.due_ns if "from_due" in name else record.sent_ns
        until_ns = record.left_ns
        if name.startswith("ttft") and record.first_token_ns is not None:
            until_ns = record.first_token_ns
        if name == "tpot_s" or begun_ns is None or until_ns is None:
            continue  # how the rest of an answer would have come is not known
        if (until_ns - begun_ns) / 1e9 + late_s > limit:
            return True
    return False


def _estimate(
    summary: RunSummary, objective: ServiceLevelObjective, judged: Sequence[RequestRecord], bad: int
) -> tuple[float | None, float | None, float | None]:
    """The value and its interval, failures counted as slower than everything."""
    n = len(judged)
    if objective.statistic == "count":
        return float(bad), None, None
    if objective.statistic == "share":
        low, high = share_interval(bad, n, objective.confidence) or (None, None)
        if objective.at_least is None:
            return bad / n, low, high
        return 1 - bad / n, None if high is None else 1 - high, None if low is None else 1 - low
    infinity = float("inf")
    known = summary.distributions[objective.indicator]
    ordered = (*known, *([infinity] * (n - len(known))))
    value = quantile(ordered, objective.quantile)
    ends = quantile_interval(ordered, objective.quantile, objective.confidence) or (None, None)
    finite = [None if end is None or end == infinity else end for end in (value, *ends)]
    return finite[0], finite[1], finite[2]


def _decide(objective: ServiceLevelObjective, n: int, bad: int) -> tuple[State, str, int | None]:
    if objective.statistic == "count":
        kept = bad <= objective.limit
        return (State.MET if kept else State.VIOLATED), f"{bad} of {n}, counted, not estimated", None
    share, doubt = objective.bad_share, 1 - objective.confidence
    said = f"{bad} of {n} requests bad where {share * 100:.3g} % of all may be"
    if binomial_at_most(bad, n, share) <= doubt:
        return State.MET, said, None
    if binomial_at_least(bad, n, share) <= doubt:
        return State.VIOLATED, said, None
    needed = requests_needed(bad, share, objective.confidence)
    return State.INCONCLUSIVE, f"too few requests to tell: {said}", needed - n


def _trouble(summary: RunSummary) -> str | None:
    """Why records may be missing, or None: what was lost could have been bad."""
    if summary.complete and not summary.problems:
        return None
    return summary.stopped_because or "; ".join(summary.problems) or "for no reason that it tells"


def _doubt(summary: RunSummary, objective: ServiceLevelObjective, state: State) -> str | None:
    """How the client's own lateness leaves a judgement open; None where it could not have changed it.

    The question is asked again with every latency longer for a MET, shorter for a VIOLATED, by as much as
    stamps may be late and requests were (both p99): a verdict has to survive it.
    """
    timed = INDICATORS[objective.indicator].unit == "s"
    limits = {objective.indicator: objective.limit} if timed else objective.per_request
    if not limits:
        return None
    late_s = float("inf")
    if summary.stamp_error_s is not None and summary.send_lag_p99_s is not None:
        late_s = max(summary.stamp_error_s, summary.send_lag_p99_s)
    judged, bad = _bad_requests(summary, objective, late_s if state is State.MET else -late_s)
    survives = _decide(objective, len(judged), bad)[0] is state
    if late_s == float("inf"):
        return None if survives else "the client did not check itself during this run"
    if not survives:
        return f"the client was late by {late_s:.3g} s at p99; without that it may not have been {state}"
    shares = {name: late_s / _gaps(summary, name) / limit for name, limit in limits.items()}
    if state is State.MET and max(shares.values()) > CLIENT_ERROR_SHARE:
        return f"the client was late by {late_s:.3g} s at p99, too much beside the limit: it measured itself"
    return None


def _gaps(summary: RunSummary, indicator: str) -> float:
    """Over how many gaps a late stamp is spread: a TPOT is a mean over n − 1 of them."""
    if indicator != "tpot_s":
        return 1.0
    counts = [record.completion_tokens for record in summary.records]
    return median([count - 1 for count in counts if count is not None and count > 1] or [1])

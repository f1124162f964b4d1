"""Objectives on many values a request has, on means, and on rates of the whole window."""

from __future__ import annotations

import math

import numpy as np

from instruments.records import Outcome, RequestRecord
from instruments.slo.finding import STATES, TESTS, Case, Finding, told, undecidable
from instruments.slo.goodput import is_good
from instruments.slo.of_requests import judged_requests, latencies
from instruments.slo.verdict import State
from instruments.statistics.correlation import Values, effective_share_pooled
from instruments.statistics.indicators import INDICATORS, SECOND_NS
from instruments.statistics.means import BATCH, mean_bounds
from instruments.statistics.quantiles import quantile, quantile_interval
from instruments.statistics.sequence import FEWEST as FEWEST_BATCHES
from instruments.statistics.shares import decide_pooled

SLICES = 100  # of the window, in which a rate is seen to vary: at a planned look
FEWEST_SLICES = 2 * BATCH * FEWEST_BATCHES  # at an open one, which has as many as it has requests
MEAN_TEST = "means of batches of neighbours, Student's t"
MEAN_SEQUENCE = "means of batches of neighbours, confidence sequence"


def judge_gaps(case: Case) -> Finding:
    """A quantile of the gaps of all requests. A failed request has as many bad gaps as others have gaps."""
    objective = case.objective
    limit = objective.limit - case.late_s
    of_each = [_gaps(record, case) for record in judged_requests(case)]
    known = [gaps for gaps in of_each if gaps]
    if not known:
        return undecidable("no answer tells when its tokens came")
    usual = round(sum(map(len, known)) / len(known))
    sizes = [usual if gaps is None else len(gaps) for gaps in of_each]
    bad = [usual if gaps is None else sum(gap > limit for gap in gaps) for gaps in of_each]
    answer = decide_pooled(sizes, bad, case.rule())
    ordered = sorted(gap for gaps in known for gap in gaps)
    ordered += [math.inf] * (sum(sizes) - len(ordered))
    worth = effective_share_pooled(np.array(sizes, dtype=np.float64), np.array(bad, dtype=np.float64))
    value = quantile(ordered, objective.quantile)
    ends = quantile_interval(ordered, objective.quantile, objective.confidence, worth) or (None, None)
    low, high = (None if end is None or math.isinf(end) else end for end in ends)
    more = None if answer.more is None else max(1, round(answer.more * len(sizes) / sum(sizes)))
    return Finding(
        STATES[answer.answer],
        told(answer, objective.bad_share, "gaps"),
        answer.requests,
        answer.bad,
        value if value is None or math.isfinite(value) else None,
        low,
        high,
        more,
        answer.effective,
        test=f"{TESTS[case.looks]}, requests drawn whole",
    )


def judge_mean(case: Case) -> Finding:
    """The mean of a latency, or of gaps. With a failed request there is no mean, and so no pass."""
    kind = INDICATORS[case.objective.indicator].kind
    values = latencies(case) if kind == "request" else _mean_gaps(case)
    failed = int(np.isinf(values).sum())
    if failed:
        return Finding(
            State.INCONCLUSIVE,
            f"{failed} of {len(values)} requests have no latency, so that there is no mean",
            len(values),
            failed,
        )
    return _judged_mean(values, case)


def judge_rate(case: Case) -> Finding:
    """Requests, tokens, or good requests per second of the window, by how much its slices differ."""
    summary, objective = case.summary, case.objective
    if summary.span_ns is None or summary.span_ns[0] >= summary.span_ns[1]:
        return undecidable("the run has no window")
    weights = [(record.done_ns, _weight(record, case)) for record in summary.records]
    start_ns, end_ns = summary.span_ns
    slices = max(FEWEST_SLICES, len(weights)) if summary.anytime else SLICES
    counts = np.zeros(slices)
    for done_ns, weight in weights:
        if done_ns is not None and weight is not None and weight > 0:
            at = int((done_ns - start_ns) * slices / (end_ns - start_ns))
            counts[min(max(at, 0), slices - 1)] += weight
    if any(weight is None for _, weight in weights):
        return undecidable(f"not every answer says how many tokens it has: no {objective.indicator}")
    return _judged_mean(counts * slices / ((end_ns - start_ns) / SECOND_NS), case, len(summary.records))


def _judged_mean(values: Values, case: Case, requests: int | None = None) -> Finding:
    """Where the mean lies beside the limit; each side has the error of the claim that it would make."""
    objective, n = case.objective, len(values) if requests is None else requests
    below, above = case.met_error, case.violated_error
    if objective.at_least is not None:
        below, above = above, below
    # Below the limit is claimed by the upper bound, which is wrong with the chance of that claim.
    bounds = mean_bounds(values, above, below, anytime=case.summary.anytime)
    mean, test = float(values.mean()), MEAN_SEQUENCE if case.summary.anytime else MEAN_TEST
    if bounds is None or not all(map(math.isfinite, bounds)):
        reason = f"too few to tell: a mean of {len(values)} values has no interval yet"
        return Finding(State.INCONCLUSIVE, reason, n, 0, mean, test=test)
    low, high = max(0.0, bounds[0]), bounds[1]
    side = State.INCONCLUSIVE
    if high < objective.limit or low > objective.limit:
        kept = (high < objective.limit) == (objective.at_most is not None)
        side = State.MET if kept else State.VIOLATED
    word = "beside" if side is not State.INCONCLUSIVE else "around"
    unit = INDICATORS[objective.indicator].suffix
    reason = (
        f"the mean {mean:.4g}{unit} lies within [{low:.4g}, {high:.4g}], {word} the limit {objective.limit:g}"
    )
    return Finding(side, reason, n, 0, mean, low, high, test=test)


def _gaps(record: RequestRecord, case: Case) -> tuple[float, ...] | None:
    """A request's gaps; None when it failed, or when the server did not tell."""
    of = INDICATORS[case.objective.indicator].gaps
    assert of is not None  # noqa: S101 - only indicators of gaps come here
    return of(record) if record.outcome is Outcome.COMPLETED else None


def _mean_gaps(case: Case) -> Values:
    """Of each request the mean of its gaps; inf for one that failed. One without a gap says nothing."""
    of_each = [_gaps(record, case) for record in judged_requests(case)]
    means = [math.inf if gaps is None else sum(gaps) / len(gaps) for gaps in of_each if gaps is None or gaps]
    return np.array(means, dtype=np.float64) + case.late_s


def _weight(record: RequestRecord, case: Case) -> float | None:
    """What a request adds to a rate; None when it completed and does not say how many tokens it has."""
    if record.outcome is not Outcome.COMPLETED:
        return 0.0
    if case.objective.indicator == "output_tokens_per_s":
        return None if record.completion_tokens is None else float(record.completion_tokens)
    return float(is_good(record, case.objective.per_request, case.late_s))

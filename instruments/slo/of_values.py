"""Objectives on many values a request has, on means, and on rates of the whole window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from instruments.slo.finding import STATES, TESTS, Case, Finding, told, undecidable
from instruments.slo.goodput import are_good
from instruments.slo.of_requests import judged, latencies, moved
from instruments.slo.verdict import State
from instruments.statistics.correlation import Values, effective_share_pooled
from instruments.statistics.indicators import INDICATORS, SECOND_NS
from instruments.statistics.means import FEWEST, mean_bounds
from instruments.statistics.pooled import Whole
from instruments.statistics.quantiles import quantile, quantile_interval
from instruments.statistics.shares import decide_pooled
from instruments.statistics.steady import Steady, steady_part

FEWEST_SLICES = 2 * FEWEST  # of the window, in which a rate is seen to vary: as many as there are requests
FULL = 3  # requests a slice has, or more, for its rate to tell a trend from their being whole
MEAN_TEST = "means of batches of neighbours, confidence sequence"


def judge_gaps(case: Case) -> Finding:
    """A quantile of the gaps of all requests. A failed request has as many bad gaps as others have gaps."""
    objective = case.objective
    limit = objective.limit - case.late_s
    rows, gaps = judged(case), case.summary.measured.gaps(objective.indicator)
    having = int((gaps.sizes[rows] > 0).sum())
    if not having:
        return undecidable("no answer tells when its tokens came")
    steady = steady_part(_means(case, rows))
    usual = round(int(gaps.sizes[rows].sum()) / having)
    kept = rows[steady.cut :]
    sizes = np.where(gaps.told, gaps.sizes, usual)[kept].astype(np.float64)

    def over(limit_s: float) -> Values:
        return np.where(gaps.told, gaps.above(limit_s), usual)[kept].astype(np.float64)

    bad = over(limit)
    answer = decide_pooled(sizes, bad, case.rule())
    state, reason = STATES[answer.answer], told(answer, objective.bad_share, "gaps")
    if state is not State.INCONCLUSIVE and steady.trend is not None:
        further = (1 + steady.swing) ** (2 if state is State.MET else -2)
        if decide_pooled(sizes, over(limit / further), case.rule()).answer is not answer.answer:
            state, reason = State.INCONCLUSIVE, f"{reason}; {moved(steady)}"
    ordered = _ascending(kept, int(sizes.sum()), case)
    worth = effective_share_pooled(sizes, bad)
    value = quantile(ordered, objective.quantile)
    ends = quantile_interval(ordered, objective.quantile, objective.confidence, worth) or (None, None)
    value, low, high = (None if end is None or math.isinf(end) else end for end in (value, *ends))
    more = None if answer.more is None else max(1, round(answer.more * len(sizes) / int(sizes.sum())))
    return Finding(
        state, reason, answer.requests, answer.bad, value, low, high, more, answer.effective, steady.cut,
        f"{TESTS[case.looks]}, requests drawn whole",
    )  # fmt: skip


def judge_mean(case: Case) -> Finding:
    """The mean of a latency, or of gaps. With a failed request there is no mean, and so no pass."""
    kind = INDICATORS[case.objective.indicator].kind
    values = latencies(case) if kind == "request" else _mean_gaps(case)
    if not len(values):
        return undecidable("no answer has gaps")
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
    """Requests, tokens, or good requests per second, by how much the rate differs between slices of time.

    From the first measured answer's end to the last request's sending: before it a closed loop's users had
    not begun to give way to each other, and after it the load fades.
    """
    records, weights = case.summary.records, _weights(case)
    if weights is None:
        return undecidable(f"not every answer says how many tokens it has: no {case.objective.indicator}")
    ended = zip(records, weights.tolist(), strict=True)
    done = sorted((one.done_ns, weight) for one, weight in ended if one.done_ns is not None)
    sent = [one.sent_ns for one in records if one.sent_ns is not None]
    if not done or not sent or max(sent) <= done[0][0]:
        return undecidable("no answer ended before the last request was sent: too short for a rate")
    start_ns, end_ns = done[0][0], max(sent)
    slices = max(FEWEST_SLICES, len(records))
    counts = np.zeros(slices)
    for done_ns, weight in done:
        if start_ns < done_ns <= end_ns:
            counts[min(int((done_ns - start_ns) * slices / (end_ns - start_ns)), slices - 1)] += weight
    return _judged_mean(counts * slices / ((end_ns - start_ns) / SECOND_NS), case, len(records))


def _judged_mean(values: Values, case: Case, requests: int | None = None) -> Finding:
    """Where the mean lies beside the limit; each side has the error of the claim that it would make."""
    objective = case.objective
    steady = steady_part(values) if requests is None or requests >= FULL * len(values) else Steady()
    values = values[steady.cut :]
    n = len(values) if requests is None else requests
    above, below = case.violated_error, case.met_error
    if objective.at_least is not None:
        above, below = below, above
    # That it is below the limit is claimed by the upper bound, which is wrong as often as that claim.
    bounds, mean = mean_bounds(values, above, below), float(values.mean())
    if bounds is None or not all(map(math.isfinite, bounds)):
        reason = f"too few to tell: a mean of {len(values)} values has no interval yet"
        return Finding(State.INCONCLUSIVE, reason, n, 0, mean, test=MEAN_TEST)
    low, high = max(0.0, bounds[0]), bounds[1]
    further = (1 + steady.swing) ** 2 if steady.trend is not None else 1.0
    state, outside = State.INCONCLUSIVE, high < objective.limit or low > objective.limit
    if high * further < objective.limit or low / further > objective.limit:
        kept = (high < objective.limit) == (objective.at_most is not None)
        state = State.MET if kept else State.VIOLATED
    unit = INDICATORS[objective.indicator].suffix
    where = (
        f"within [{low:.4g}, {high:.4g}], {'beside' if outside else 'around'} the limit {objective.limit:g}"
    )
    reason = f"the mean {mean:.4g}{unit} lies {where}"
    if outside and state is State.INCONCLUSIVE:
        reason = f"{reason}; {moved(steady)}"
    return Finding(state, reason, n, 0, mean, low, high, trimmed=steady.cut, test=MEAN_TEST)


def _ascending(kept: Whole, total: int, case: Case) -> Sequence[float]:
    """Gaps of the requests that are kept; those of failed ones, and of who did not tell, are endless."""
    measured, indicator = case.summary.measured, case.objective.indicator
    gaps, among = measured.gaps(indicator), np.zeros(len(measured.records), dtype=np.bool_)
    among[kept] = True
    whole = not (gaps.sizes[~among] > 0).any()
    known = measured.ascending(indicator) if whole else gaps.ascending(among)
    endless = np.full(total - len(known), math.inf)
    ordered: Sequence[float] = (np.concatenate((known, endless)) if len(endless) else known).data
    return ordered


def _mean_gaps(case: Case) -> Values:
    """The means of those that have gaps, or failed. One of a single token says nothing."""
    rows, gaps = judged(case), case.summary.measured.gaps(case.objective.indicator)
    return _means(case, rows[~gaps.told[rows] | (gaps.sizes[rows] > 0)]) + case.late_s


def _means(case: Case, rows: Whole) -> Values:
    """Of each request the mean of its gaps; inf for one that failed, 0 for one without a gap."""
    measured, name = case.summary.measured, case.objective.indicator
    means: Values = np.where(measured.gaps(name).told, measured.gap_means(name), math.inf)[rows]
    return means


def _weights(case: Case) -> Values | None:
    """What each request adds to a rate; None when one completed and does not say how many tokens it has."""
    measured, objective = case.summary.measured, case.objective
    if objective.indicator != "output_tokens_per_s":
        return are_good(measured, objective.per_request, case.late_s).astype(np.float64)
    if (measured.completed & (measured.output_tokens < 0)).any():
        return None
    return np.where(measured.completed, measured.output_tokens, 0).astype(np.float64)

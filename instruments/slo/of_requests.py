"""Objectives on requests: a latency's quantile, a share that may be bad, a count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from instruments.records import Outcome, RequestRecord
from instruments.slo.finding import COUNTED, STATES, TESTS, Case, Finding, told, undecidable
from instruments.slo.goodput import are_good, gaps_of
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.verdict import State
from instruments.statistics.correlation import Values, effective_share_of_bad
from instruments.statistics.evidence import consistent_counts, share_sequence
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.pooled import Whole
from instruments.statistics.quantiles import quantile, quantile_interval, share_interval
from instruments.statistics.shares import Answer, Rule, ShareAnswer, decide_share
from instruments.statistics.steady import Steady, steady_part

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Judged:
    """What values say of a limit, and which of them said it."""

    state: State
    answer: ShareAnswer
    steady: Steady
    kept: Values


def judge_values(values: Values, limit: float, rule: Rule) -> Judged:
    """Is the share of values over the limit below what the rule allows? In the order of sending; inf failed.

    Leading values are left out while they had not settled, those that failed excepted. Of values that never
    settle an answer stands only if it would with all of them moved on by as much again as they moved; that
    they were too slow stands too if they were getting slower, and the last third says so by itself.
    """
    steady = steady_part(values)
    keep = np.isinf(values)
    keep[steady.cut :] = True
    kept = values[keep]
    answer = decide_share(kept, limit, rule)
    if steady.trend is None:
        return Judged(STATES[answer.answer], answer, steady, kept)
    last = values[-(len(values) // 3) :]
    worse = steady.trend == "rising" and decide_share(last, limit, rule).answer is Answer.ABOVE
    stands = _stands(values, last, limit, rule, answer.answer, 1 + steady.swing)
    state = State.VIOLATED if worse else STATES[answer.answer] if stands else State.INCONCLUSIVE
    return Judged(state, answer, steady, kept)


def _stands(values: Values, last: Values, limit: float, rule: Rule, answer: Answer, swing: float) -> bool:
    """Whether an answer would be the same of values moved on: all by twice the swing, by evidence, and the
    last third by once, by its share alone.
    """
    if answer is Answer.UNKNOWN or not math.isfinite(swing):
        return False
    below = answer is Answer.BELOW
    twice, once = (limit / swing**2, limit / swing) if below else (limit * swing**2, limit * swing)
    share = float((last > once).mean())
    return decide_share(values, twice, rule).answer is answer and (share < rule.allowed) == below


def judge_quantile(case: Case) -> Finding:
    """Is the share of requests over the limit below what the quantile allows? Failures are over any."""
    objective, values = case.objective, latencies(case)
    if objective.indicator == "tpot_s" and (untold := _untold_tokens(case)):
        return undecidable(f"{untold} of {len(values)} answers do not say how many tokens they have: no TPOT")
    judged = judge_values(values, objective.limit, case.rule())
    answer, kept, ordered = judged.answer, judged.kept, np.sort(judged.kept).tolist()
    value = quantile(ordered, objective.quantile)
    low, high = _interval(ordered, kept, value, case)
    reason = told(answer, objective.bad_share, "requests")
    if judged.steady.trend is not None:
        unmoved = judged.state is not State.INCONCLUSIVE
        reason = f"{reason}; {moved(judged.steady)}{', which does not change it' if unmoved else ''}"
    return Finding(
        judged.state, reason, answer.requests, answer.bad, _finite(value), _finite(low), _finite(high),
        answer.more, answer.effective, len(values) - len(kept), TESTS[case.looks],
        too_few=answer.answer is Answer.UNKNOWN and judged.steady.trend is None,
    )  # fmt: skip


def judge_share(case: Case) -> Finding:
    """Is the share of requests that failed, or were not good, below what is allowed?"""
    objective = case.objective
    answer = decide_share(_bad_flags(case), 0.5, case.rule())
    if not answer.requests:  # of those that a late stamp alone made bad, none is left when it is taken off
        return undecidable("every client left before it was known")
    state, reason = STATES[answer.answer], told(answer, objective.bad_share, "requests")
    if state is State.MET and (moving := _goodput_moves(case)):
        state, reason = State.INCONCLUSIVE, f"{reason}; {moving}"
    worth = answer.effective / answer.requests
    counts = answer.bad * worth, answer.requests * worth
    if case.summary.anytime:
        low, high = share_sequence(*counts, 1 - objective.confidence)
    else:
        low, high = share_interval(*counts, objective.confidence) or (0.0, 1.0)
    value = answer.bad / answer.requests
    if objective.at_least is not None:
        value, low, high = 1 - value, 1 - high, 1 - low
    return Finding(
        state, reason, answer.requests, answer.bad, value, low, high, answer.more, answer.effective,
        test=TESTS[case.looks], too_few=answer.answer is Answer.UNKNOWN,
    )  # fmt: skip


def judge_count(case: Case) -> Finding:
    """How many requests did not complete? Counted, not estimated."""
    flags = _bad_flags(case)
    n, bad = len(flags), int(flags.sum())
    state = State.MET if bad <= case.objective.limit else State.VIOLATED
    return Finding(state, f"{bad} of {n}, {COUNTED}", n, bad, float(bad), test=COUNTED)


def judged(case: Case) -> Whole:
    """Where in the summary's records the requests are that an objective speaks of, in the order of sending.

    A client that left on purpose says nothing, unless it had waited for longer than the limit by then.
    """
    measured = case.summary.measured
    speaks = ~measured.had(Outcome.CANCELLED)
    for place in np.flatnonzero(~speaks):
        speaks[place] = case.left_bad or _outwaited(case.summary.records[place], case.objective, case.late_s)
    if case.objective.indicator == "tpot_s":  # an answer of one token has no cadence to judge
        speaks &= ~(measured.completed & (measured.output_tokens == 1))
    return measured.in_order[speaks[measured.in_order]]


def contradicted_since(case: Case, looked_at: int) -> tuple[bool, str]:
    """Whether what came after a look is over the limit beyond chance; and how many of how many, in words."""
    after = tuple(one for one in case.summary.records if one.index >= looked_at)
    later = replace(case, summary=replace(case.summary, records=after))
    objective = case.objective
    of_share = INDICATORS[objective.indicator].kind == "share"
    values = _bad_flags(later) if of_share else latencies(later)
    doubt = 1 - objective.confidence
    found = decide_share(
        values, 0.5 if of_share else objective.limit, Rule(objective.bad_share, doubt, doubt)
    )
    return found.answer is Answer.ABOVE, f"of {found.requests} in flight then {found.bad} bad"


def latencies(case: Case) -> Values:
    """The indicator's value of each request, later by what stamps may be late; inf where there is none."""
    measured, name = case.summary.measured, case.objective.indicator
    known = measured.completed
    if name.startswith("ttft"):  # who left after the first token knows how long that took
        known = known | measured.had(Outcome.CANCELLED)
    values = measured.values(name)
    late = case.late_s / gaps_of(measured.output_tokens) if name == "tpot_s" else case.late_s
    return np.where(known & ~np.isnan(values), values + late, INFINITE)[judged(case)]


def moved(steady: Steady) -> str:
    """How a run moved that never settled, in words."""
    if steady.trend == "changing":
        return "the run was never steady: the middle value went away and came back"
    return (
        f"the run was never steady: the middle value moved by {steady.change:+.0%} from first to last third"
    )


def _untold_tokens(case: Case) -> int:
    measured = case.summary.measured
    return int((measured.completed & (measured.output_tokens < 0))[judged(case)].sum())


def _bad_flags(case: Case, limits: Mapping[str, float] | None = None) -> Values:
    given = case.objective.per_request if limits is None else limits
    return (~are_good(case.summary.measured, given, case.late_s))[judged(case)].astype(np.float64)


def _goodput_moves(case: Case) -> str | None:
    """Why goodput may not stay: its latencies moved, and were they to do so again too few would be good."""
    limits, worst = dict(case.objective.per_request), Steady()
    for name in limits:
        values = case.summary.measured.values(name)[judged(case)]
        steady = steady_part(np.where(np.isnan(values), INFINITE, values))
        if steady.trend is not None and steady.swing > worst.swing:
            worst = steady
        limits[name] /= (1 + steady.swing) ** 2 if steady.trend is not None else 1.0
    if worst.trend is None:
        return None
    again = decide_share(_bad_flags(case, limits), 0.5, case.rule())
    return None if again.answer is Answer.BELOW else moved(worst)


def _interval(
    ordered: Sequence[float], kept: Values, value: float | None, case: Case
) -> tuple[float | None, float | None]:
    """The quantile's interval at the objective's confidence; an end of None is unbounded."""
    if value is None or value == INFINITE:
        return (None, None) if value is None else (_lower_end(ordered, case), None)
    p, n = case.objective.quantile, len(ordered)
    worth = effective_share_of_bad(kept, value)
    if not case.summary.anytime:
        return quantile_interval(ordered, p, case.objective.confidence, worth) or (None, None)
    below, above = consistent_counts(n * worth, p, 1 - case.objective.confidence)
    first, last = int(below / worth), int(above / worth) + 1
    return (ordered[first - 1] if first >= 1 else None), (ordered[last - 1] if last <= n else None)


def _lower_end(ordered: Sequence[float], case: Case) -> float | None:
    found = quantile_interval(ordered, case.objective.quantile, case.objective.confidence)
    return found[0] if found else None


def _outwaited(record: RequestRecord, objective: ServiceLevelObjective, late_s: float) -> bool:
    """Whether a client that left had already waited for longer than a limit on a latency.

    To leave such a request out would make a slow server look the better, the more of its users lose patience.
    """
    timed = INDICATORS[objective.indicator].kind == "request"
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


def _finite(value: float | None) -> float | None:
    return None if value is None or value == INFINITE else value

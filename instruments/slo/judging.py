"""Judging one objective on one run: the way that fits its indicator, then what the whole run allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from instruments.records import Outcome
from instruments.slo import of_requests, of_server, of_values
from instruments.slo.finding import Case, Finding
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.verdict import CLIENT_ERROR_SHARE, State, Verdict
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.summary import RunSummary

_BY_KIND: dict[str, Callable[[Case], Finding]] = {
    "request": of_requests.judge_quantile,
    "share": of_requests.judge_share,
    "count": of_requests.judge_count,
    "gap": of_values.judge_gaps,
    "rate": of_values.judge_rate,
    "server": of_server.judge_server,
    "gpu": of_server.judge_gpu,
    "economy": of_server.judge_economy,
}

# What is counted over a window that all who sent the load share.
ACROSS_MACHINES = ("rate", "server", "gpu", "economy")


def evaluate(summary: RunSummary, objective: ServiceLevelObjective, *, family: int = 1) -> Verdict:
    """Judge one objective on one run. `family`: how many objectives share the chance of a false VIOLATED."""
    case = Case(summary, objective, family)
    if not len(of_requests.judged(case)):
        return Verdict(
            objective, summary.name, State.INCONCLUSIVE, "nothing was measured", 0, 0, family=family
        )
    finding = _doubted(case, _judge(case))
    if finding.too_few:
        finding = _when_it_ended(case) or finding
    cut = f"; the first {finding.trimmed:,} left out: not steady yet" if finding.trimmed else ""
    return Verdict(
        objective=objective,
        run=summary.name,
        state=finding.state,
        reason=finding.reason + cut,
        requests=finding.requests,
        bad=finding.bad,
        value=finding.value,
        low=finding.low,
        high=finding.high,
        requests_more=finding.more if finding.state is State.INCONCLUSIVE else None,
        requests_effective=finding.effective,
        family=family,
        trimmed=finding.trimmed,
        test=finding.test,
    )


def _when_it_ended(case: Case) -> Finding | None:
    """What the look that ended the run found, where answers still in flight then left it open again.

    The evidence is valid at every look, so at that one; of 64 in flight every seventh run would lose it.
    Not where what came after says the opposite beyond chance, and not where anything but more is missing.
    """
    looked_at = case.summary.sampling.get("decided_at")
    if not case.summary.anytime or looked_at is None:
        return None
    seen = tuple(one for one in case.summary.records if one.index < looked_at)
    before = replace(case, summary=replace(case.summary, records=seen))
    if not len(of_requests.judged(before)):
        return None
    finding = _doubted(before, _judge(before))
    contradicted, after = of_requests.contradicted_since(case, looked_at)
    if finding.state is State.INCONCLUSIVE or (finding.state is State.MET and contradicted):
        return None
    return replace(finding, reason=f"{finding.reason}, at the look that ended the run; {after}")


def _judge(case: Case) -> Finding:
    kind = INDICATORS[case.objective.indicator].kind
    if case.objective.statistic == "mean" and kind in ("request", "gap"):
        return of_values.judge_mean(case)
    return _BY_KIND[kind](case)


def _doubted(case: Case, finding: Finding) -> Finding:
    """What the run as a whole takes back of a finding."""
    summary = case.summary
    if summary.void:
        reason = f"the run is void, the client disturbed it: {'; '.join(summary.void)}"
        return replace(finding, state=State.INCONCLUSIVE, reason=reason, more=None, too_few=False)
    if summary.apart and INDICATORS[case.objective.indicator].kind in ACROSS_MACHINES:
        reason = f"load came from machines too far apart in time: {'; '.join(summary.apart)}"
        return replace(finding, state=State.INCONCLUSIVE, reason=reason, more=None, too_few=False)
    if finding.state is State.MET and (trouble := _trouble(summary)):
        return replace(finding, state=State.INCONCLUSIVE, reason=f"the run did not end well: {trouble}")
    if finding.state is State.INCONCLUSIVE:
        beside = _measures_itself(case) if finding.too_few else None
        return finding if beside is None else replace(finding, reason=beside, more=None, too_few=False)
    doubt = _unknown(case) if finding.state is State.MET else None
    doubt = doubt or _doubt(case, finding.state)
    return finding if doubt is None else replace(finding, state=State.INCONCLUSIVE, reason=doubt, more=None)


def _unknown(case: Case) -> str | None:
    """What is not known and would have to be, for a MET."""
    summary, kind = case.summary, INDICATORS[case.objective.indicator].kind
    if kind in ("server", "gpu") and not summary.measured.completed.any():
        return "no request completed: the server had nothing to do"
    left = int(summary.measured.had(Outcome.CANCELLED).sum())
    speaks = kind in ("request", "gap") or case.objective.indicator == "goodput_share"
    if not left or not speaks or _judge(replace(case, left_bad=True)).state is State.MET:
        return None
    return (
        f"{left} of {len(summary.records)} clients left before it was known, and may have waited for longer"
    )


def _trouble(summary: RunSummary) -> str | None:
    """Why records may be missing, or None: what was lost could have been bad."""
    if summary.complete and not summary.problems:
        return None
    return summary.stopped_because or "; ".join(summary.problems) or "for no reason that it tells"


def _doubt(case: Case, state: State) -> str | None:
    """How the client's own lateness leaves a judgement open; None where it could not have changed it.

    The question is asked again with every latency longer for a MET, shorter for a VIOLATED, by as much as
    stamps may be late and requests were (both p99): a verdict has to survive it.
    """
    if not _timed_limits(case.objective):
        return None
    late_s = _late_s(case.summary)
    survives = _judge(replace(case, late_s=late_s if state is State.MET else -late_s)).state is state
    if late_s == float("inf"):
        return None if survives else "the client did not check itself during this run"
    if not survives:
        return f"the client was late by {late_s:.3g} s at p99; without that it may not have been {state}"
    return _measures_itself(case) if state is State.MET else None


def _measures_itself(case: Case) -> str | None:
    """Why no number of requests makes this a pass: the client's own lateness is too much of the limit."""
    late_s = _late_s(case.summary)
    limits = _timed_limits(case.objective).items()
    shares = [late_s / _gaps(case.summary, name) / limit for name, limit in limits]
    if late_s == float("inf") or max(shares, default=0.0) <= CLIENT_ERROR_SHARE:
        return None
    return f"the client was late by {late_s:.3g} s at p99, too much beside the limit: it measured itself"


def _late_s(summary: RunSummary) -> float:
    """How late a latency may have been told, p99: inf where the client did not check itself."""
    if summary.stamp_error_s is None or summary.send_lag_p99_s is None:
        return float("inf")
    return max(summary.stamp_error_s, summary.send_lag_p99_s)


def _timed_limits(objective: ServiceLevelObjective) -> dict[str, float]:
    """The limits that the client's stamps are held against."""
    kind = INDICATORS[objective.indicator].kind
    if kind in ("request", "gap"):
        return {objective.indicator: objective.limit}
    return dict(objective.per_request) if kind in ("share", "rate") else {}


def _gaps(summary: RunSummary, indicator: str) -> float:
    """Over how many gaps a late stamp is spread: a TPOT is a mean over n − 1 of them."""
    if indicator != "tpot_s":
        return 1.0
    tokens = summary.measured.output_tokens
    return float(np.median(tokens[tokens > 1] - 1)) if (tokens > 1).any() else 1.0

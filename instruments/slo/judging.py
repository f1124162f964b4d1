"""Judging one objective on one run: the way that fits its indicator, then what the whole run allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median

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


def evaluate(summary: RunSummary, objective: ServiceLevelObjective, *, family: int = 1) -> Verdict:
    """Judge one objective on one run. `family`: how many objectives share the chance of a false VIOLATED."""
    case = Case(summary, objective, family)
    if not of_requests.judged_requests(case):
        return Verdict(
            objective, summary.name, State.INCONCLUSIVE, "nothing was measured", 0, 0, family=family
        )
    finding = _doubted(case, _judge(case))
    if finding.state is State.INCONCLUSIVE:
        finding = _when_it_ended(case) or finding
    return Verdict(
        objective=objective,
        run=summary.name,
        state=finding.state,
        reason=finding.reason,
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
    """
    looked_at = case.summary.sampling.get("decided_at")
    if not case.summary.anytime or looked_at is None:
        return None
    seen = tuple(one for one in case.summary.records if one.index < looked_at)
    before = replace(case, summary=replace(case.summary, records=seen))
    finding = _doubted(before, _judge(before))
    return None if finding.state is State.INCONCLUSIVE else finding


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
        return replace(finding, state=State.INCONCLUSIVE, reason=reason, more=None)
    if finding.state is State.MET and (trouble := _trouble(summary)):
        return replace(finding, state=State.INCONCLUSIVE, reason=f"the run did not end well: {trouble}")
    if finding.state is not State.INCONCLUSIVE and (doubt := _doubt(case, finding.state)):
        return replace(finding, state=State.INCONCLUSIVE, reason=doubt, more=None)
    return finding


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
    summary, objective = case.summary, case.objective
    limits = _timed_limits(objective)
    if not limits:
        return None
    late_s = float("inf")
    if summary.stamp_error_s is not None and summary.send_lag_p99_s is not None:
        late_s = max(summary.stamp_error_s, summary.send_lag_p99_s)
    again = _judge(replace(case, late_s=late_s if state is State.MET else -late_s))
    survives = again.state is state
    if late_s == float("inf"):
        return None if survives else "the client did not check itself during this run"
    if not survives:
        return f"the client was late by {late_s:.3g} s at p99; without that it may not have been {state}"
    shares = {name: late_s / _gaps(summary, name) / limit for name, limit in limits.items()}
    if state is State.MET and max(shares.values()) > CLIENT_ERROR_SHARE:
        return f"the client was late by {late_s:.3g} s at p99, too much beside the limit: it measured itself"
    return None


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
    counts = [record.completion_tokens for record in summary.records]
    return median([count - 1 for count in counts if count is not None and count > 1] or [1])

"""The verdict as a document for machines: verdict.json, whose fields verdict.schema.json holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from reports.calibrated import why_stale
from reports.judged import Judged
from reports.loads import Load
from reports.model import SessionReport
from reports.searches import Search
from reports.trials import Trial

SCHEMA = 2
# Of capacity.json and comparison.json: what was found. Their probes and pairs stay where they are.
_OF_A_SEARCH = ("promise", "low", "high", "violated", "monotone", "reason", "simulated")
_OF_A_TRIAL = ("change", "reason", "ratio", "requests", "failed", "pairs_more", "simulated")


class Compared(Protocol):
    """What changed since another run, as a document of its own."""

    def document(self) -> Mapping[str, Any]: ...


def verdict_document(report: SessionReport, since: Compared | None = None) -> dict[str, Any]:
    """All of the judgement, schema 2. Times in seconds, shares 0 to 1; None is undefined."""
    session = report.session
    return {
        "schema": SCHEMA,
        "run_id": session.run_id,
        "state": str(report.state),
        "reason": report.reason,
        "exit_code": report.exit_code,
        "simulated": report.simulated,
        "gate": session.gate,
        "environment": session.environment,
        "engine": session.engine,
        "started_at": session.started_at,
        "finished_at": session.finished_at,
        "session_exit_code": session.exit_code,
        "objectives_from": report.objectives_from,
        "expected": list(session.expected),
        "missing": list(report.missing),
        "left_out": [dict(one) for one in session.left_out],
        "limits_replaced": {name: dict(both) for name, both in session.limits_replaced.items()},
        "overhead_budget_s": session.overhead_budget_s,
        "objectives": [_objective(one, report.simulated) for one in report.verdicts],
        "laws": [{**asdict(law), "state": str(law.state)} for law in report.laws],
        "claims": {"total": len(report.claims), **dict(sorted(report.claim_counts.items()))},
        "loads": [{**_load(load), **_trust(load, report)} for load in report.loads],
        "searches": [_search(one) for one in report.searches],
        "trials": [_trial(one) for one in report.trials],
        "since": None if since is None else dict(since.document()),
        "telemetry": _telemetry(report),
        "incidents": [
            {"at": incident.at, "component": incident.component, "what": incident.what}
            for incident in report.incidents
        ],
        "problems": list(report.problems),
        "fingerprint": dict(report.fingerprint),
    }


def _objective(one: Judged, simulated: bool) -> dict[str, Any]:
    objective, verdict = one.objective, one.verdict
    return {
        "id": objective.id,
        "description": objective.description,
        "workload": objective.workload,
        "indicator": objective.indicator,
        "statistic": objective.statistic,
        "at_most": objective.at_most,
        "at_least": objective.at_least,
        "per_request": dict(objective.per_request),
        "confidence": objective.confidence,
        "required": objective.required,
        "family": objective.family,
        "family_size": verdict.family,
        "cost_per_hour": objective.cost_per_hour,
        "applies": {name: list(told) for name, told in asdict(objective.applies).items()},
        "simulated": simulated,
        "state": str(one.state),
        "reason": one.reason,
        "test": verdict.test or None,
        "value": verdict.value,
        "low": verdict.low,
        "high": verdict.high,
        "requests": verdict.requests,
        "requests_effective": verdict.requests_effective,
        "trimmed": verdict.trimmed,
        "bad": verdict.bad,
        "requests_more": verdict.requests_more,
        "headroom": verdict.headroom,
        "journal": one.journal,
        "claim": one.claim,
        "problem": one.problem,
    }


def _load(load: Load) -> dict[str, Any]:
    summary = load.summary
    return {
        "name": summary.name,
        "journal": load.journal,
        "workload": load.workload_id,
        "workload_sha256": load.run.description.get("workload_sha256"),
        "due": summary.due,
        "outcomes": {str(outcome): count for outcome, count in sorted(summary.outcomes.items())},
        "complete": summary.complete,
        "stopped_because": summary.stopped_because,
        "offered_per_s": summary.offered_per_s,
        "achieved_per_s": summary.achieved_per_s,
        "completed_per_s": summary.completed_per_s,
        "output_tokens_per_s": summary.output_tokens_per_s,
        "sampling": load.sampling or None,
        "void": list(summary.void),
    }


def _search(search: Search) -> dict[str, Any]:
    """What a search for capacity found; a level is in what was searched by: users, or requests per second."""
    told = search.document
    asked = told.get("asked")
    return {
        "workload": search.workload,
        "by": asked.get("by") if isinstance(asked, dict) else None,
        "promised": asked.get("promise") if isinstance(asked, dict) else None,
        **{name: told.get(name) for name in _OF_A_SEARCH},
        "journals": f"capacity/{search.workload}/loads",
    }


def _trial(trial: Trial) -> dict[str, Any]:
    """What an interleaved comparison found: the ratio of B's figure to A's, with its interval."""
    told = trial.document
    pairs = told.get("pairs")
    return {
        "name": trial.name,
        "figure": told.get("figure"),
        "tolerance": told["rule"].get("tolerance") if isinstance(told.get("rule"), dict) else None,
        **{name: told.get(name) for name in _OF_A_TRIAL},
        "pairs": len(pairs) if isinstance(pairs, list) else 0,
        "journals": f"trials/{trial.name}/loads",
    }


def _trust(load: Load, report: SessionReport) -> dict[str, Any]:
    """How far the client's and the server's numbers of a load can be trusted."""
    summary, server = load.summary, load.summary.server
    return {
        "send_lag_p99_s": summary.send_lag_p99_s,
        "loop_lag_p99_s": summary.client.loop_lag_p99_s if summary.client else None,
        "stamps": summary.client.stamps if summary.client else None,
        "stamp_error_p99_s": summary.stamp_error_s,
        "calibration": load.run.description.get("calibration"),
        "calibration_problem": why_stale(load, report.session, report.fingerprint),
        "server": None
        if server is None
        else {
            "source": server.source,
            "every_s": server.every_s,
            "clock_error_s": server.clock_error_s,
            "problems": list(server.problems),
        },
    }


def _telemetry(report: SessionReport) -> dict[str, Any]:
    """Where the server's numbers come from; the clock error is the worst of the loads that know theirs."""
    servers = [load.summary.server for load in report.loads if load.summary.server is not None]
    errors = [server.clock_error_s for server in servers if server.clock_error_s is not None]
    return {"source": report.session.telemetry, "clock_error_s": max(errors, default=None)}

"""The verdict as a document for machines: verdict.json, whose fields verdict.schema.json holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reports.calibrated import why_stale
from reports.judged import Judged
from reports.loads import Load
from reports.model import SessionReport

SCHEMA = 2


def verdict_document(report: SessionReport) -> dict[str, Any]:
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

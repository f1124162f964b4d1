"""The verdict as a document: verdict.json for machines, Markdown for the summary of a job."""

from __future__ import annotations

import re
from typing import Any

from instruments.slo import State
from reports import wording
from reports.judged import Judged
from reports.loads import Load
from reports.model import SessionReport
from reports.overall import Overall

SCHEMA = 1
_MARKS = {
    Overall.MET: "✅",
    Overall.VIOLATED: "❌",
    Overall.FAILED: "❌",
    Overall.INCONCLUSIVE: "⚠️",
    Overall.INTERRUPTED: "⚠️",
    Overall.NOTHING_MEASURED: "⚪",
}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~])")


def verdict_document(report: SessionReport) -> dict[str, Any]:
    """All of the judgement, schema 1. Times in seconds, shares 0 to 1; None is undefined."""
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
        "objectives": [_objective(one, report.simulated) for one in report.verdicts],
        "claims": {"total": len(report.claims), **dict(sorted(report.claim_counts.items()))},
        "loads": [_load(load) for load in report.loads],
        "incidents": [
            {"at": incident.at, "component": incident.component, "what": incident.what}
            for incident in report.incidents
        ],
        "problems": list(report.problems),
        "fingerprint": dict(report.fingerprint),
    }


def markdown(report: SessionReport) -> str:
    """A summary of the run: verdict, objectives, what failed, died or is to be doubted."""
    simulated = ", simulated" if report.simulated else ""
    parts = [
        f"## {_MARKS[report.state]} {report.state}{simulated}\n",
        f"{_plain(report.reason)}\n",
        _session_line(report),
    ]
    if report.verdicts:
        parts.append(_objectives_table(report))
    for title, items in _lists(report):
        if items:
            parts.append(f"### {title}\n")
            parts.append("".join(f"- {_plain(item)}\n" for item in items))
    return "\n".join(parts)


def _session_line(report: SessionReport) -> str:
    session = report.session
    claims = ", ".join(f"{count} {name}" for name, count in sorted(report.claim_counts.items())) or "none"
    where = f"Run {_plain(session.run_id)} on {_plain(session.environment)}"
    return f"{where}, exit code {report.exit_code}. Claims: {_plain(claims)}.\n"


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
        "simulated": simulated,
        "state": str(one.state),
        "reason": one.reason,
        "value": verdict.value,
        "low": verdict.low,
        "high": verdict.high,
        "requests": verdict.requests,
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
        "send_lag_p99_s": summary.send_lag_p99_s,
        "loop_lag_p99_s": summary.client.loop_lag_p99_s if summary.client else None,
        "stamps": summary.client.stamps if summary.client else None,
        "stamp_error_p99_s": summary.stamp_error_s,
        "calibration": load.run.description.get("calibration"),
        "void": list(summary.void),
    }


def _objectives_table(report: SessionReport) -> str:
    rows = ["| state | objective | limit | measured | bad | headroom |", "|---|---|--:|--:|--:|--:|"]
    for one in report.verdicts:
        advisory = "" if one.objective.required else " (advisory)"
        cells = (
            f"{_MARKS[Overall(one.state)]} {one.state}{', simulated' if report.simulated else ''}",
            _plain(f"{one.objective.id}: {wording.subject(one.objective)}{advisory}"),
            wording.limit(one.objective),
            _plain(wording.measured(one.verdict)),
            f"{one.verdict.bad} of {one.verdict.requests}",
            wording.headroom(one.verdict),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _lists(report: SessionReport) -> list[tuple[str, list[str]]]:
    broken = [claim for claim in report.claims if claim.outcome in ("failed", "error")]
    unmet = [one for one in report.verdicts if one.state is not State.MET]
    skipped = report.skip_reasons().items()
    return [
        ("Why", [f"{one.objective.id}: {one.reason}" for one in unmet]),
        (
            "Died",
            [f"{one.component} at {one.at}: {wording.one_line(one.what, 200)}" for one in report.incidents],
        ),
        ("Claims that do not hold", [f"{one.nodeid}: {wording.one_line(one.reason, 200)}" for one in broken]),
        ("Skipped", [f"{wording.many(len(claims), 'claim')}: {reason}" for reason, claims in skipped]),
        ("To be doubted", list(report.problems)),
    ]


def _plain(text: str) -> str:
    """The text as text: nothing in it is markup, and it is one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))

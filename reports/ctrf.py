"""ctrf.json: the run in the Common Test Report Format (https://ctrf.io), with the verdicts in its `extra`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from reports import wording
from reports.cases import Case, CaseOutcome, cases
from reports.document import verdict_document
from reports.judged import Judged
from reports.model import SessionReport

SPEC_VERSION = "0.0.0"
TOOL = "vllm-slo"
# Ids are made of names: the same test has the same id in every run.
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "https://ctrf.io/vllm-slo")


def ctrf(report: SessionReport) -> dict[str, Any]:
    """The document. Durations and instants in milliseconds, as the format wants them; never green where the
    verdict is neither MET nor CLAIMS HOLD."""
    found = cases(report)
    document: dict[str, Any] = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "reportId": _id(report.session.run_id),
        "generatedBy": TOOL,
        "results": {
            "tool": {"name": TOOL},
            "summary": _summary(report, found),
            "tests": [_test(case) for case in found],
            "environment": _environment(report),
        },
        "extra": {"verdict": _verdict(report)},
    }
    if ended := _instant(report.session.finished_at):
        document["timestamp"] = ended.isoformat().replace("+00:00", "Z")
    return document


def _summary(report: SessionReport, found: list[Case]) -> dict[str, Any]:
    statuses = [_status(case) for case in found]
    start_ms = _milliseconds(report.session.started_at) or 0
    stop_ms = _milliseconds(report.session.finished_at)
    if stop_ms is None:  # cut off: as far as its claims went
        stop_ms = start_ms + sum(round(1000 * case.duration_s) for case in found)
    return {
        "tests": len(found),
        **{name: statuses.count(name) for name in ("passed", "failed", "skipped", "pending", "other")},
        "suites": len({case.file for case in found}),
        "start": start_ms,
        "stop": stop_ms,
        "duration": stop_ms - start_ms,
    }


def _test(case: Case) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": _id(case.nodeid),
        "name": case.name,
        "status": _status(case),
        "duration": round(1000 * case.duration_s),
        "rawStatus": str(case.outcome),
        "suite": case.file.removesuffix(".py").split("/") if case.file else [TOOL],
    }
    optional = {
        "message": case.message,
        "trace": case.detail if case.outcome.broken else "",
        "filePath": case.file,
        "tags": list(case.markers),
        "stdout": [line for line in (case.title, *case.told) if line],
        "extra": {"objectives": [_objective(one) for one in case.judged]} if case.judged else {},
    }
    return told | {name: value for name, value in optional.items() if value}


def _id(name: str) -> str:
    """Of half a surrogate pair too, as the name of a file may hold one."""
    return str(uuid.uuid5(_IDS, name.encode("utf-8", "backslashreplace").decode()))


def _status(case: Case) -> str:
    """`other` is no failure to readers of the format: what is not passed or skipped has failed."""
    if case.outcome in (CaseOutcome.PASSED, CaseOutcome.SKIPPED):
        return str(case.outcome)
    return "failed"


def _objective(one: Judged) -> dict[str, Any]:
    verdict = one.verdict
    return {
        "id": one.objective.id,
        "state": str(one.state),
        "limit": wording.limit(one.objective),
        "value": verdict.value,
        "low": verdict.low,
        "high": verdict.high,
        "requests": verdict.requests,
        "bad": verdict.bad,
        "headroom": verdict.headroom,
    }


def _verdict(report: SessionReport) -> dict[str, Any]:
    """The head of verdict.json, in its words."""
    names = ("run_id", "state", "reason", "exit_code", "simulated", "gate", "engine", "missing", "problems")
    document = verdict_document(report)
    return {name: document[name] for name in names}


def _environment(report: SessionReport) -> dict[str, Any]:
    facts, session = report.fingerprint, report.session
    known = {
        "reportName": f"{TOOL} {session.run_id}",
        "appName": "vLLM, simulated" if report.simulated else "vLLM",
        "appVersion": facts.get("engine.version"),
        "commit": facts.get("client.commit"),
        "osPlatform": facts.get("machine.system"),
        "testEnvironment": session.environment,
    }
    said = {name: str(value) for name, value in known.items() if value}
    return {**said, "healthy": report.exit_code == 0}


def _instant(iso: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(iso or "")
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def _milliseconds(iso: str | None) -> int | None:
    found = _instant(iso)
    return None if found is None else round(found.timestamp() * 1000)

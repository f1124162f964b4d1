"""What Allure is told of a run: contents of its files, and attachments. Pure: nothing is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import fields
from html import escape
from typing import Any

from instruments.records import LoadRun, RequestRecord
from instruments.results import SessionRecord
from instruments.slo import ServiceLevelObjective, Verdict
from instruments.statistics import RunSummary
from instruments.statistics.indicators import INDICATORS, send_lag_s
from reports import wording
from reports.latency import panels
from reports.plots import plots_png

# [\s\S] and not a flag: the same expression must mean the same to Java (Allure 2) and JavaScript (Allure 3).
_ANY = r"[\s\S]*"
# allure-pytest calls every exception but an AssertionError "broken": an unmet objective is one of them.
_UNMET = ["failed", "broken"]
_CATEGORIES = (
    ("Objective violated", _UNMET, r"\bObjectiveViolated\b"),
    ("Inconclusive: the data cannot tell", _UNMET, r"\bObjectiveInconclusive\b"),
    ("The stack died", _UNMET, r"\bStackDied\b"),
    ("The stack did not start", _UNMET, r"\b(?:StackNotReady|MissingBinary|StackError)\b"),
    ("A gate cannot pass by skipping", _UNMET, r"(?:a gate cannot pass by skipping|\bSkipped: )"),
    ("Nothing was measured", [*_UNMET, "skipped"], r"[Nn]othing (?:was|passed|to) ?(?:measured)?"),
    ("A setting or a catalog file is wrong", _UNMET, r"\bConfigurationError\b"),
    ("Skipped: the stack lacks a capability", ["skipped"], r"[Cc]apabilit(?:y|ies)"),
)
_RECORD_FIELDS = tuple(
    field.name for field in fields(RequestRecord) if field.name not in ("chunks_ns", "chunk_tokens")
)
_TIMED = {name: known.of for name, known in INDICATORS.items() if known.of is not None}


def environment_properties(fingerprint: Mapping[str, Any], session: SessionRecord) -> str:
    """environment.properties: the session, then the fingerprint; escaped as java.util.Properties reads it."""
    about = {
        "run": session.run_id,
        "environment": session.environment,
        "engine": session.engine or wording.UNDEFINED,
        "simulated": "yes" if session.simulated else "no",
        "gate": "yes" if session.gate else "no",
        "seed": session.seed,
        "telemetry": session.telemetry or wording.UNDEFINED,
    }
    pairs = {**about, **{name: value for name, value in fingerprint.items() if name not in about}}
    return "".join(f"{_property(str(name), key=True)}={_property(_text(pairs[name]))}\n" for name in pairs)


def categories() -> list[dict[str, Any]]:
    """categories.json: why tests did not pass, told apart by status and by the name of the exception."""
    return [
        {"name": name, "matchedStatuses": list(statuses), "messageRegex": f"{_ANY}{pattern}{_ANY}"}
        for name, statuses, pattern in _CATEGORIES
    ]


def executor(session: SessionRecord, environ: Mapping[str, str]) -> dict[str, Any]:
    """executor.json: who ran it, from the variables that the CI services set; a person otherwise."""
    about: dict[str, Any] = {"reportName": f"vllm-slo {session.run_id}"}
    if environ.get("GITHUB_ACTIONS"):
        repository = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        url = f"{repository}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
        name, order = environ.get("GITHUB_WORKFLOW", "GitHub Actions"), environ.get("GITHUB_RUN_NUMBER")
        return about | _build("github", name, url, order)
    if environ.get("GITLAB_CI"):
        name, url = environ.get("CI_JOB_NAME", "GitLab CI"), environ.get("CI_JOB_URL", "")
        return about | _build("gitlab", name, url, environ.get("CI_PIPELINE_IID"))
    if environ.get("JENKINS_URL"):
        name, url = environ.get("JOB_NAME", "Jenkins"), environ.get("BUILD_URL", "")
        return about | _build("jenkins", name, url, environ.get("BUILD_NUMBER"))
    return about | {"name": "by hand", "type": "local", "buildName": session.run_id}


def verdict_table_html(verdict: Verdict, *, simulated: bool = False) -> str:
    """A verdict and its evidence as a small table, to be attached to the test that asked."""
    objective = verdict.objective
    rows = {
        "state": f"{verdict.state}{', simulated' if simulated else ''}",
        "objective": f"{objective.id}: {objective.description}",
        "indicator": wording.subject(objective),
        "limit": wording.limit(objective),
        "limits of a good request": wording.per_request(objective),
        "measured": wording.measured(verdict),
        "bad": wording.bad_of(verdict),
        "left out": wording.trimmed(verdict),
        "confidence": wording.PERCENT.quantity(objective.confidence),
        "decided by": verdict.test,
        "false alarms": "; ".join(wording.shared_alarms([verdict])),
        "headroom": wording.headroom(verdict),
        "reason": verdict.reason,
        "more requests needed": str(verdict.requests_more or ""),
        "load": verdict.run,
    }
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left;padding:.2em 1em .2em 0">{escape(name)}</th>'
        f"<td>{escape(value)}</td></tr>"
        for name, value in rows.items()
        if value
    )
    return f'<table style="font:14px system-ui,sans-serif;border-collapse:collapse">{cells}</table>'


def latency_plot_png(summary: RunSummary, objectives: Iterable[ServiceLevelObjective]) -> bytes:
    """TTFT, E2E and TPOT of a load against their limits; an image that says so where nothing completed."""
    drawn = panels(summary, objectives)
    title = f"{summary.completed} of {summary.due} requests completed"
    return plots_png(drawn, title)


def records_csv(run: LoadRun) -> str:
    """Every request of a run: its record, then its indicators in seconds. Undefined is an empty cell."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow([*_RECORD_FIELDS, "chunks", "send_lag_s", *_TIMED])
    for record in run.records:
        told = [getattr(record, name) for name in _RECORD_FIELDS]
        timed = [of(record) for of in _TIMED.values()]
        table.writerow([*told, len(record.chunks_ns), send_lag_s(record), *timed])
    return out.getvalue()


def _build(kind: str, name: str, url: str, order: str | None) -> dict[str, Any]:
    build: dict[str, Any] = {
        "name": name,
        "type": kind,
        "buildName": f"{name} #{order or '?'}",
        "buildUrl": url,
    }
    return build | ({"buildOrder": int(order)} if order and order.isdecimal() else {})


def _text(value: Any) -> str:
    if value is None:
        return wording.UNDEFINED
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _property(text: str, *, key: bool = False) -> str:
    """Escaped for a .properties file, which is Latin-1: all beyond ASCII as UTF-16 escapes."""
    special = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "=": "\\=", ":": "\\:"}
    special |= {"#": "\\#", "!": "\\!"} | ({" ": "\\ "} if key else {})
    text = "".join(special.get(character) or _ascii(character) for character in text)
    # A leading blank of a value would be taken for the space after the separator.
    return f"\\{text}" if text.startswith(" ") else text


def _ascii(character: str) -> str:
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))

"""How the run was made: session, start-up, fingerprint, what died, and the commands that make it again."""

from __future__ import annotations

import json
from typing import Any

from instruments.results import IncidentRecord
from reports import reproduction, wording
from reports.model import SessionReport
from reports.page.room import LONGEST_LOG, LONGEST_REASON, LONGEST_VALUE, Room, cut


def run_view(report: SessionReport, room: Room) -> dict[str, Any]:
    """Names of the run's own sections, and of those that make it doubtful."""
    problems = [cut(problem, LONGEST_REASON) for problem in report.problems]
    listed = room.problems_open + room.problems_folded
    fingerprint = list(report.fingerprint.items())
    return {
        "problems": problems[: room.problems_open],
        "problems_folded": problems[room.problems_open : listed],
        "problems_unlisted": max(0, len(problems) - listed),
        "incidents": incidents(report, room),
        "incidents_unlisted": max(0, len(report.incidents) - room.incidents),
        "startup": startup(report),
        "fingerprint": [(name, _said(value)) for name, value in fingerprint[: room.fingerprint]],
        "fingerprint_unlisted": max(0, len(fingerprint) - room.fingerprint),
        "command": reproduction.command(report.session),
        "judge_again": reproduction.judge_again(report.folder, report.session),
    }


def incidents(report: SessionReport, room: Room) -> list[tuple[IncidentRecord, str]]:
    """Each with the end of its log: what was said last is why it died."""
    shown = report.incidents[: room.incidents]
    longest = min(LONGEST_LOG, room.logs_characters // max(1, len(shown)))
    return [(one, one.log_tail[-longest:]) for one in shown]


def startup(report: SessionReport) -> list[tuple[str, float, float]]:
    """(component, seconds, share of the slowest), the slowest first."""
    slowest = max(report.session.startup_s.values(), default=0.0)
    ranked = sorted(report.session.startup_s.items(), key=lambda item: -item[1])
    return [(name, seconds, seconds / slowest if slowest else 0.0) for name, seconds in ranked]


def _said(value: Any) -> str:
    if value is None or value == "":
        return wording.UNDEFINED
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return cut(said, LONGEST_VALUE)

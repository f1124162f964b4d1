"""Names that the templates know, and what they stand for: those of a section are made in its own file."""

from __future__ import annotations

from typing import Any

from reports.history import Since
from reports.model import SessionReport
from reports.page.charts import charts_view
from reports.page.claims import claims_view
from reports.page.laws import laws_view
from reports.page.objectives import objectives_view
from reports.page.room import Room
from reports.page.run import run_view
from reports.page.since import since_view
from reports.page.trust import trust_view
from reports.page.verdict import verdict_view


def fixed(report: SessionReport, since: Since | None) -> dict[str, Any]:
    """Names of what is as large as it is in every room: it is drawn once."""
    return {"report": report, **charts_view(report), **since_view(report, since)}


def fitted(report: SessionReport, room: Room) -> dict[str, Any]:
    """Names of what there is as much of as there is room for."""
    return {
        "longest": room.text,
        **verdict_view(report),
        **trust_view(report, room),
        **objectives_view(report, room),
        **laws_view(report, room),
        **claims_view(report, room),
        **run_view(report, room),
    }

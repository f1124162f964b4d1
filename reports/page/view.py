"""What the page's templates are given: the names of every section, each made in a file of its own."""

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


def view(report: SessionReport, since: Since | None, room: Room) -> dict[str, Any]:
    """Names that the templates know, and what they stand for."""
    return {
        "report": report,
        **verdict_view(report),
        **trust_view(report, room),
        **objectives_view(report, room),
        **laws_view(report, room),
        **claims_view(report, room),
        **run_view(report, room),
        **charts_view(report),
        **since_view(report, since),
    }

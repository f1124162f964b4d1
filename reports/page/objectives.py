"""Objectives on the page: what is not met and what is closest to its limit stand open, the rest is folded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from instruments.slo import State
from reports import of_place, wording
from reports.judged import Judged
from reports.model import SessionReport
from reports.page.room import Room

FEW = 25  # so many are all shown
CLOSEST = 10  # of many that are met, those with the least headroom
_UNMET = (State.VIOLATED, State.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Row:
    """An objective and the id of its row."""

    anchor: str
    one: Judged


def objectives_view(report: SessionReport, room: Room) -> dict[str, Any]:
    """`shown` and `folded` rows, and what is said around them."""
    rows = ranked(report.verdicts)
    shown, folded = split(rows, room.objectives_open)
    met = sum(row.one.state is State.MET for row in rows)
    return {
        "objective_rows": shown,
        "folded_rows": folded[: room.objectives_folded],
        "objectives_unlisted": max(0, len(folded) - room.objectives_folded),
        "folded_met": all(row.one.state is State.MET for row in folded),
        "objectives_met": met,
        "objectives_total": len(rows),
        "shared_alarms": wording.shared_alarms(one.verdict for one in report.verdicts),
        "of_place": of_place.changes(report),
    }


def ranked(verdicts: Sequence[Judged]) -> list[Row]:
    """Worst first: required before advisory, and among those that are met the least headroom first."""
    ordered = sorted(verdicts, key=_rank)
    return [Row(f"objective-{number}", one) for number, one in enumerate(ordered, start=1)]


def split(rows: Sequence[Row], most: int) -> tuple[list[Row], list[Row]]:
    """(rows that stand open, rows that are folded), both in the order of `rows`."""
    if len(rows) <= min(FEW, most):
        return list(rows), []
    unmet = [row for row in rows if row.one.state is not State.MET][: most - CLOSEST]
    close = [row for row in rows if row.one.state is State.MET and _headroom(row.one) < math.inf][:CLOSEST]
    chosen = {row.anchor for row in (*unmet, *close)}
    return [row for row in rows if row.anchor in chosen], [row for row in rows if row.anchor not in chosen]


def closest(verdicts: Sequence[Judged]) -> Judged | None:
    """The required objective that is met with the least headroom; None where no headroom is defined."""
    met = [one for one in verdicts if one.state is State.MET and one.objective.required]
    known = [one for one in met if _headroom(one) < math.inf]
    return min(known, key=_headroom, default=None)


def _headroom(one: Judged) -> float:
    return math.inf if one.verdict.headroom is None else one.verdict.headroom


def _rank(one: Judged) -> tuple[bool, bool, int, float]:
    unmet = one.state in _UNMET
    place = _UNMET.index(one.state) if unmet else len(_UNMET)
    return not unmet, not one.objective.required and unmet, place, 0.0 if unmet else _headroom(one)

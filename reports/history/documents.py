"""Runs, changes and loads as JSON has them; values in the indicators' own units, null where not known."""

from __future__ import annotations

import math
from typing import Any

from reports.history.comparison import Change, Tells
from reports.history.entries import Entry, Found, LoadFigures


def told_run(entry: Entry) -> dict[str, Any]:
    return {
        "run": entry.name,
        "started_at": entry.at.isoformat(),
        "state": entry.state,
        "gate": entry.gate,
        "simulated": entry.simulated,
    }


def told_change(change: Change) -> dict[str, Any]:
    interval = change.interval
    ends = (interval.low, interval.high) if interval else (None, None)
    low, high = (end if end is not None and math.isfinite(end) else None for end in ends)
    return {
        "objective": change.key,
        "before": _told_found(change.before),
        "after": _told_found(change.after),
        "asked_apart": list(change.asked),
        "difference": change.value,
        "relative": change.relative,
        "low": low,
        "high": high,
        "confidence": change.confidence if interval else None,
        "tells": None if change.tells is Tells.NOTHING else str(change.tells),
    }


def _told_found(found: Found | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "state": str(found.state),
        "limit": found.objective.limit,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "requests": found.requests,
        "bad": found.bad,
    }


def told_load(load: LoadFigures | None) -> dict[str, Any] | None:
    return None if load is None else {"due": load.due, "completed": load.completed, **load.rates}

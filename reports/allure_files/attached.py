"""Attachments of a claim: its verdict as a table, the load's picture, and its records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import fields
from html import escape

from instruments.records import LoadRun, RequestRecord
from instruments.slo import ServiceLevelObjective, Verdict
from instruments.statistics import RunSummary
from instruments.statistics.indicators import INDICATORS, send_lag_s
from reports import wording
from reports.latency import panels
from reports.plots import plots_png

# A report that is published takes its attachments along: beyond this the file stays in the run's folder.
LARGEST_BYTES = 20 * 1024 * 1024
_RECORD_FIELDS = tuple(
    field.name for field in fields(RequestRecord) if field.name not in ("chunks_ns", "chunk_tokens")
)
_TIMED = {name: known.of for name, known in INDICATORS.items() if known.of is not None}
_HEADER = 'scope="row" style="text-align:left;vertical-align:top;padding:.2em 1em .2em 0"'


def verdict_table_html(verdict: Verdict, *, simulated: bool = False, records: str = "") -> str:
    """A verdict and its evidence as a small table, to be attached to the test that asked.

    `records` says where the load's own attachments are, which only the first claim on it carries.
    """
    objective = verdict.objective
    rows = {
        "state": f"{verdict.state}{', simulated' if simulated else ''}",
        "objective": f"{objective.id}: {objective.description}",
        "required": "yes" if objective.required else "no: advisory",
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
        "records": records,
    }
    return table_html({name: escape(value) for name, value in rows.items() if value})


def table_html(rows: Mapping[str, str]) -> str:
    """Two columns: names, and cells that are HTML already."""
    cells = "".join(
        f"<tr><th {_HEADER}>{escape(name)}</th><td>{cell}</td></tr>" for name, cell in rows.items()
    )
    return f'<table style="font:14px system-ui,sans-serif;border-collapse:collapse">{cells}</table>'


def latency_plot_png(summary: RunSummary, objectives: Iterable[ServiceLevelObjective]) -> bytes:
    """TTFT, E2E and TPOT of a load against their limits; an image that says so where nothing completed."""
    drawn = panels(summary, objectives)
    title = f"{summary.completed} of {summary.due} requests completed"
    return plots_png(drawn, title)


def records_csv(run: LoadRun, largest_bytes: int | None = None) -> str | None:
    """Every request of a run: its record, then its indicators in seconds. Undefined is an empty cell.

    None as soon as it would be larger than `largest_bytes`.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow([*_RECORD_FIELDS, "chunks", "send_lag_s", *_TIMED])
    for record in run.records:
        told = [getattr(record, name) for name in _RECORD_FIELDS]
        timed = [of(record) for of in _TIMED.values()]
        table.writerow([*told, len(record.chunks_ns), send_lag_s(record), *timed])
        if largest_bytes is not None and out.tell() > largest_bytes:
            return None
    return out.getvalue()


def too_large(what: str, largest_bytes: int, where: str) -> str:
    """What stands in the place of an attachment that would make the report too heavy."""
    limit = f"{largest_bytes / 1024**2:g} MiB"
    return f"{what} would be larger than {limit} and is not attached; all of it: {where}\n"

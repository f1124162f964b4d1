"""`python -m reports compare A B`: two runs side by side, from their verdicts."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from instruments.slo.baseline import refuse_unlike
from reports import wording
from reports.history.comparison import Change, Comparison, compare
from reports.history.documents import told_change, told_load, told_run
from reports.history.entries import RATES, Entry, Found, LoadFigures, open_entry
from reports.history.text import columns, percent, say, signed, signed_interval

EPILOG = """\
The interval of a difference is made of the intervals of both values (Zou and Donner 2008). It tells what the
requests of two runs leave to chance, and not how much two runs of one unchanged system differ: for that, and
for a judged verdict, take three runs or more and `python -m instruments compare RUN… --baseline FILE.json`.

Runs whose fingerprints differ are refused, with the keys; --across names those that may differ (globs).

exit codes:
  0  the runs were compared, whatever came of it
  2  one cannot be read, or they are unlike
"""
NOTE = (
    "Two single runs tell only what their own requests leave to chance, not how much runs of one unchanged\n"
    "system differ. For a judged verdict: three runs or more, python -m instruments compare --baseline"
)
HEAD = ("objective", "state", "before", "after", "difference", "", "tells")
LOADS_HEAD = ("load", "figure", "before", "after", "change")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Put two runs side by side, from their verdict.json. Journals are not read."
    parser.epilog = EPILOG
    add = parser.add_argument
    add("before", type=Path, metavar="A", help="the earlier run's folder")
    add("after", type=Path, metavar="B", help="the later run's folder")
    told = "fingerprints may differ here (globs); may be repeated"
    add("--across", action="append", default=[], metavar="KEY", help=told)
    add("--json", action="store_true", help="one JSON document instead of a table")


def run(options: argparse.Namespace) -> int:
    """Compare and say so; ConfigurationError for runs that are unlike."""
    before, after = open_entry(options.before), open_entry(options.after)
    refuse_unlike(before.saved(), after.saved(), options.across)
    comparison = compare(before, after, options.across)
    if options.json:
        document = {"kind": "comparison", "schema": 1, **_document(comparison, options.across)}
        say(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        say("\n".join(_lines(comparison)))
    return 0


def _lines(comparison: Comparison) -> list[str]:
    blocks = [[_about("before", comparison.before), _about("after ", comparison.after)]]
    if comparison.changes:
        blocks.append(columns(HEAD, [_row(one) for one in comparison.changes], (2, 3, 4)))
        blocks.append(_expected_by_chance(comparison))
    rows = [row for name, before, after in comparison.loads for row in _load_rows(name, before, after)]
    if rows:
        blocks.append(columns(LOADS_HEAD, rows, (2, 3, 4)))
    return "\n\n".join("\n".join(block) for block in [*blocks, [NOTE]] if block).splitlines()


def _about(side: str, entry: Entry) -> str:
    tags = "".join(f" ({name})" for name in ("gate", "simulated") if getattr(entry, name))
    return f"{side}  {entry.name}  {entry.at:%Y-%m-%d %H:%M} UTC  {entry.environment}  {entry.state}{tags}"


def _row(change: Change) -> tuple[str, ...]:
    scale = wording.scale(change.found.objective)
    return (
        change.key,
        states(change),
        _value(change.before, scale),
        _value(change.after, scale),
        _difference(change, scale),
        percent(change.relative) if change.relative is not None else "",
        tells(change),
    )


def states(change: Change) -> str:
    """'MET', 'MET → VIOLATED', 'not judged → MET'; with the limits where these differ."""
    names = [str(one.state) if one else "not judged" for one in (change.before, change.after)]
    told = names[0] if names[0] == names[1] else " → ".join(names)
    if change.limit_changed and change.before and change.after:
        limits = [wording.limit(one.objective) for one in (change.before, change.after)]
        told += f" (limit {' → '.join(limits)})"
    return told


def tells(change: Change) -> str:
    """What may be said of the difference, in one or two words."""
    if change.asked:
        return f"asks something else: {', '.join(change.asked)}"
    return str(change.tells)


def _value(found: Found | None, scale: wording.Scale) -> str:
    if found is None:
        return wording.UNDEFINED
    interval = scale.interval(found.low, found.high)
    value = scale.quantity(found.value)
    return value if interval == wording.UNDEFINED else f"{value} {interval}"


def _difference(change: Change, scale: wording.Scale) -> str:
    interval = change.interval
    told = signed(scale, change.value)
    return told if interval is None else f"{told} {signed_interval(scale, interval.low, interval.high)}"


def _expected_by_chance(comparison: Comparison) -> list[str]:
    """How many intervals leave 0 out though nothing changed: so many at most, in the mean."""
    chances = [1 - (one.confidence or 1) for one in comparison.intervals]
    if not chances:
        return []
    many = wording.many(len(chances), "interval")
    return [f"of {many}, {math.fsum(chances):.2g} would leave zero out by chance, had nothing changed"]


def _load_rows(name: str, before: LoadFigures | None, after: LoadFigures | None) -> list[tuple[str, ...]]:
    def share(load: LoadFigures | None) -> str:
        return wording.share_of(load.completed, load.due) if load else wording.UNDEFINED

    rows: list[tuple[str, ...]] = [(name, "completed", share(before), share(after), "")]
    for rate in RATES:
        one, other = (load.rates[rate] if load else None for load in (before, after))
        change = other / one - 1 if one and other is not None else None
        rows.append(("", rate, wording.figure(one), wording.figure(other), percent(change)))
    return rows


def _document(comparison: Comparison, across: list[str]) -> dict[str, Any]:
    return {
        "before": told_run(comparison.before),
        "after": told_run(comparison.after),
        "across": list(across),
        "objectives": [told_change(one) for one in comparison.changes],
        "loads": [
            {"name": name, "before": told_load(before), "after": told_load(after)}
            for name, before, after in comparison.loads
        ],
        "note": NOTE.replace("\n", " "),
    }

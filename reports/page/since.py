"""The page's section "What changed": beside earlier runs, and over the last runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from instruments.slo import State
from reports import wording
from reports.history import Since
from reports.history.comparison import Change, Comparison, Tells
from reports.history.drawing import HEIGHT, WIDTH, TrendStrip, trend_strip
from reports.history.entries import Entry, Found
from reports.history.series import RATE_LABELS
from reports.history.since import cut, sentence
from reports.history.text import percent, signed, signed_interval
from reports.model import SessionReport

MOST = 60  # objectives in a table; beyond, those that changed least are left out, and it is said
MOST_DRAWN = 24
_WORD = {State.MET: "met", State.VIOLATED: "violated", State.INCONCLUSIVE: "inconclusive"}
_MARK = {State.MET: "✓", State.VIOLATED: "✕", State.INCONCLUSIVE: "?"}
_CLASS = {Tells.WORSE: "violated", Tells.BETTER: "met"}


@dataclass(frozen=True, slots=True)
class StateView:
    """A state as the page shows it: its word, the class of its colour, its mark."""

    word: str
    kind: str
    mark: str


@dataclass(frozen=True, slots=True)
class Row:
    """One objective beside its earlier self, all in words. `kind` colours the difference, where judged."""

    key: str
    subject: str
    before: StateView
    now: StateView
    changed: bool
    limits: str
    was: str
    was_interval: str
    found: str
    found_interval: str
    difference: str
    relative: str
    interval: str
    told: str
    kind: str
    strip: TrendStrip | None


@dataclass(frozen=True, slots=True)
class Beside:
    """One earlier run beside this one."""

    name: str
    about: str
    sentence: str
    like: bool
    rows: tuple[Row, ...]
    more: int
    by_chance: str
    apart: tuple[tuple[str, str, str], ...]
    loads: tuple[tuple[str, str, str, str, str], ...]


def since_view(report: SessionReport, since: Since | None) -> dict[str, Any]:
    """Names that `since.html` knows; `since_shown` is whether there is anything to show."""
    last = _beside(since.last, since) if since else None
    return {
        "since_shown": since is not None,
        "since_line": since.line() if since else "",
        "since_last": last,
        "since_gate": _beside(since.gate, None) if since and since.gate else None,
        "since_passed_over": [one.name for one in since.passed_over] if since else [],
        "since_values": _values(since, last) if since and last else None,
        "since_regression": any(one.startswith("--baseline") for one in report.session.command),
        "trend_width": WIDTH,
        "trend_height": HEIGHT,
    }


def _beside(comparison: Comparison, since: Since | None) -> Beside:
    before = comparison.before
    chances = sum(1 - (one.confidence or 1) for one in comparison.intervals)
    counted = wording.many(len(comparison.intervals), "interval")
    by_chance = f"Of {counted}, {chances:.2g} would leave zero out by chance, had nothing changed."
    said = sentence(comparison)
    return Beside(
        name=before.name,
        about=_about(before),
        sentence=said[:1].upper() + said[1:],
        like=comparison.like,
        rows=tuple(
            _row(one, since, like=comparison.like, drawn=at < MOST_DRAWN)
            for at, one in enumerate(comparison.changes[:MOST])
        ),
        more=max(0, len(comparison.changes) - MOST),
        by_chance=by_chance if comparison.intervals and comparison.like else "",
        apart=tuple((key, cut(one), cut(other)) for key, (one, other) in comparison.apart.items()),
        loads=tuple(_loads(comparison)),
    )


def _about(entry: Entry) -> str:
    tags = "".join(f", {name}" for name in ("gate", "simulated") if getattr(entry, name))
    return f"{entry.at:%Y-%m-%d %H:%M} UTC, {entry.state}{tags}"


def _row(change: Change, since: Since | None, *, like: bool, drawn: bool) -> Row:
    objective = change.found.objective
    scale = wording.scale(objective)
    was, found = change.before, change.after
    interval = change.interval
    series = since.series.get(change.key) if since and drawn else None
    limits = [wording.limit(one.objective) for one in (was, found) if one]
    return Row(
        key=change.key,
        subject=wording.subject(objective),
        before=_state(was),
        now=_state(found),
        changed=change.state_changed,
        limits=" → ".join(limits) if change.limit_changed else "",
        was=scale.quantity(was.value) if was else wording.UNDEFINED,
        was_interval=_ends(was, scale),
        found=scale.quantity(found.value) if found else wording.UNDEFINED,
        found_interval=_ends(found, scale),
        difference=signed(scale, change.value),
        relative=percent(change.relative) if change.relative is not None else "",
        interval=signed_interval(scale, interval.low, interval.high) if interval else "",
        told=_told(change, like=like),
        kind=_CLASS.get(change.tells, "") if like else "",
        strip=trend_strip(series, objective.limit) if series else None,
    )


def _state(found: Found | None) -> StateView:
    if found is None:
        return StateView("not judged", "nothing-measured", "–")
    return StateView(str(found.state), _WORD[found.state], _MARK[found.state])


def _ends(found: Found | None, scale: wording.Scale) -> str:
    if found is None or (found.low is None and found.high is None):
        return ""
    return scale.interval(found.low, found.high)


def _told(change: Change, *, like: bool) -> str:
    if change.asked:
        return f"not compared: it asks something else now ({', '.join(change.asked)})"
    if change.both is None or change.value is None:
        return ""
    if not like:
        return "not judged"
    return str(change.tells)


def _loads(comparison: Comparison) -> list[tuple[str, str, str, str, str]]:
    """(load, rate, before, now, change) of loads that both runs had."""
    return [
        (
            name,
            RATE_LABELS[rate][0],
            wording.figure(before.rates[rate]),
            wording.figure(after.rates[rate]),
            percent(_ratio(before.rates[rate], after.rates[rate])),
        )
        for name, before, after in comparison.loads[:MOST]
        if before and after
        for rate in ("completed_per_s", "output_tokens_per_s")
    ]


def _ratio(before: float | None, after: float | None) -> float | None:
    return after / before - 1 if before and after is not None else None


def _values(since: Since, last: Beside) -> Mapping[str, Any] | None:
    """The drawn values as a table: a row a run, newest first; a column an objective."""
    drawn = [row.key for row in last.rows if row.strip]
    if not drawn:
        return None
    runs = {point.run: point.at for key in drawn for point in since.series[key].points}
    by_run = {key: {point.run: point for point in since.series[key].points} for key in drawn}
    rows = []
    for run in sorted(runs, key=lambda name: runs[name], reverse=True):
        points = [(key, by_run[key].get(run)) for key in drawn]
        values = [
            since.series[key].scale.quantity(one.value) if one else wording.UNDEFINED for key, one in points
        ]
        rows.append((run, all(one.like for _, one in points if one), values))
    return {"columns": drawn, "rows": rows}

"""What changed since last time: a run beside the last like it, and beside the last gate that was met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from instruments.errors import SloError
from reports import wording
from reports.document import verdict_document
from reports.history.comparison import Change, Comparison, Tells, compare
from reports.history.documents import told_change, told_run
from reports.history.entries import Entry, from_document, read_entry
from reports.history.runs import Run, runs_in
from reports.history.series import Series, series_of
from reports.history.text import signed, signed_interval
from reports.model import SessionReport
from reports.overall import Overall

RUNS = 20  # earlier ones that are looked at, and drawn
_NAMED = 3
_LONGEST = 60  # characters of a fingerprint's value


@dataclass(frozen=True, slots=True)
class Since:
    """A run beside earlier ones of its environment and engine.

    `last`: the newest that is like it and judged one of its objectives; where none is like it, the newest.
    `gate`: the last gate that was MET, where that is another. `passed_over`: newer than `last`, and unlike.
    `series`: each objective over the last runs, this one included.
    """

    now: Entry
    last: Comparison
    gate: Comparison | None = None
    passed_over: tuple[Entry, ...] = ()
    series: Mapping[str, Series] = field(default_factory=dict)

    def line(self) -> str:
        """What changed in one sentence."""
        return f"{sentence(self.last)}."

    def lines(self) -> Iterator[str]:
        """What changed as sentences, the most important first; plain text."""
        yield f"{_named(self.last.before)}: {sentence(self.last)}"
        yield from (change_words(one, like=self.last.like) for one in told_first(self.last))
        if self.last.apart:
            yield f"unlike: {apart_words(self.last.apart)}; not compared as equals"
        if self.gate is not None:
            yield f"last gate that was met, {_named(self.gate.before)}: {sentence(self.gate)}"

    def document(self) -> dict[str, Any]:
        """As verdict.json has it: `before` is the run beside which this one is told."""
        gate = None if self.gate is None else {"before": told_run(self.gate.before), **_told(self.gate)}
        return {"before": told_run(self.last.before), **_told(self.last), "gate": gate}


def _told(comparison: Comparison) -> dict[str, Any]:
    return {
        "like": comparison.like,
        "apart": {key: list(both) for key, both in comparison.apart.items()},
        "objectives": [told_change(one) for one in comparison.changes],
    }


def find_since(report: SessionReport) -> Since | None:
    """What the runs beside a report's folder say; None where there is no earlier one that can be compared.

    Only small documents are read. A neighbour that is broken is passed over.
    """
    try:
        now = from_document(verdict_document(report), report.folder)
        earlier = _earlier(report, now.at)
    except SloError:
        return None
    entries = _read(earlier, RUNS)
    last = _last(now, entries)
    if last is None:
        return None
    newer = entries[: entries.index(last)]
    gate = _gate(earlier)
    other = gate is not None and gate.folder != last.folder
    return Since(
        now=now,
        last=compare(last, now),
        gate=compare(gate, now) if gate is not None and other else None,
        passed_over=tuple(newer),
        series={
            key: found[0]
            for key in now.objectives
            if (found := series_of([*reversed(entries), now], key)) and len(found[0].points) > 1
        },
    )


def _earlier(report: SessionReport, at: datetime) -> list[Run]:
    """Finished runs of the same environment and engine that began before, newest first."""
    session = report.session
    folder = report.folder.resolve()
    return [
        run
        for run in reversed(runs_in(folder.parent))
        if run.finished
        and run.session is not None
        and run.session.environment == session.environment
        and run.session.engine == session.engine
        and run.session.run_id != session.run_id
        and run.started is not None
        and run.started < at
    ]


def _read(runs: Sequence[Run], most: int) -> list[Entry]:
    """The first that can be read."""
    found: list[Entry] = []
    for run in runs:
        if len(found) == most:
            break
        try:
            found.append(read_entry(run))
        except SloError:
            continue
    return found


def _last(now: Entry, entries: Sequence[Entry]) -> Entry | None:
    """The newest that is like this run, else the newest; one that judged the same comes before others."""
    same = [one for one in entries if not now.objectives or one.objectives.keys() & now.objectives.keys()]
    like = [one for one in same if compare(one, now).like]
    return next(iter([*like, *same, *entries]), None)


def _gate(runs: Sequence[Run]) -> Entry | None:
    gates = [
        run for run in runs if run.session is not None and run.session.gate and not run.session.exit_code
    ]
    return next((one for one in _read(gates, RUNS) if one.state == Overall.MET), None)


def told_first(comparison: Comparison) -> list[Change]:
    """Objectives whose state changed, that were not judged in both, or whose values are apart."""
    apart = (Tells.WORSE, Tells.BETTER) if comparison.like else ()
    return [one for one in comparison.changes if one in comparison.moved or one.tells in apart]


def sentence(comparison: Comparison) -> str:
    """'1 of 9 objectives changed its state, …; 2 of 5 values worse by more than …'."""
    both = [one for one in comparison.changes if one.before and one.after]
    moved = [one for one in both if one.state_changed]
    named = ", ".join(f"{one.key} {_states(one)}" for one in moved[:_NAMED])
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    said = f"{len(moved)} of {wording.many(len(both), 'objective')} changed state"
    parts = (
        [f"{said}: {named}{more}" if moved else said] if both else ["no objective was judged in both runs"]
    )
    if not comparison.like:
        keys = ", ".join(list(comparison.apart)[:_NAMED])
        rest = f" and {len(comparison.apart) - _NAMED} more" if len(comparison.apart) > _NAMED else ""
        parts.append(f"differences are not judged, the runs are unlike in {keys}{rest}")
    elif comparison.intervals:
        counts = {tell: sum(one.tells is tell for one in comparison.intervals) for tell in Tells}
        total = wording.many(len(comparison.intervals), "value")
        parts.append(
            f"of {total} with an interval, {counts[Tells.WORSE]} worse and {counts[Tells.BETTER]} better "
            "by more than chance within a run explains"
        )
    return "; ".join(parts)


def change_words(change: Change, *, like: bool) -> str:
    """'ttft-p95: MET → VIOLATED, 120 ms → 210 ms, +90 ms [+80, +100], worse'."""
    scale = wording.scale(change.found.objective)
    told = f"{change.key}: {_states(change)}"
    if change.asked:
        return f"{told}; it asks something else now ({', '.join(change.asked)})"
    if change.value is None or change.both is None:
        return told
    before, after = (scale.quantity(one.value) for one in change.both)
    told += f", {before} → {after}, {signed(scale, change.value)}"
    if (interval := change.interval) is not None:
        told += f" {signed_interval(scale, interval.low, interval.high)}"
    return f"{told}, {change.tells}" if like and change.interval is not None else told


def _states(change: Change) -> str:
    names = [str(one.state) if one else "not judged" for one in (change.before, change.after)]
    return names[0] if names[0] == names[1] else " → ".join(names)


def apart_words(apart: Mapping[str, tuple[str, str]]) -> str:
    """'engine.version vllm 0.31.0 → vllm 0.32.0, …'."""
    return ", ".join(f"{key} {cut(before)} → {cut(after)}" for key, (before, after) in apart.items())


def cut(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"


def _named(entry: Entry) -> str:
    tags = "".join(f", {name}" for name in ("gate", "simulated") if getattr(entry, name))
    return f"{entry.name} ({entry.at:%Y-%m-%d %H:%M} UTC, {entry.state}{tags})"

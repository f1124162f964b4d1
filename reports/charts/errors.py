"""What did not complete, by outcome and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instruments.records import Outcome, RequestRecord
from reports.charts.slices import Slices, end_ns

MOST_MARKS = 240  # of one outcome: marks closer than the drawing's dots are one


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One outcome: `marks_s` where any such request ended, `counts` how many by slice, `total` of all."""

    outcome: Outcome
    marks_s: tuple[float, ...]
    counts: tuple[int, ...]
    total: int

    @property
    def outside(self) -> int:
        """Those whose instant lies outside the slices: they are counted, and not drawn."""
        return self.total - sum(self.counts)


def error_rows(records: Sequence[RequestRecord], slices: Slices) -> tuple[ErrorRow, ...]:
    """One row for each outcome but COMPLETED that occurs, in the order of `Outcome`."""
    by_outcome: dict[Outcome, list[int]] = {}
    for record in records:
        if record.outcome is not Outcome.COMPLETED:
            by_outcome.setdefault(record.outcome, []).append(told_ns(record))
    return tuple(_row(one, by_outcome[one], slices) for one in Outcome if one in by_outcome)


def told_ns(record: RequestRecord) -> int:
    """When it was known that a request would not complete: its end; of one that was never sent, its due."""
    ended = end_ns(record)
    if ended is not None:
        return ended
    return record.due_ns if record.sent_ns is None else record.sent_ns


def _row(outcome: Outcome, instants_ns: Sequence[int], slices: Slices) -> ErrorRow:
    instants = np.array(instants_ns, dtype=np.int64)
    inside = instants[(instants >= slices.start_ns) & (instants <= slices.end_ns)]
    dots = (inside - slices.start_ns) * MOST_MARKS // (slices.end_ns - slices.start_ns)
    dots = np.unique(np.minimum(dots, MOST_MARKS - 1))
    marks = (dots + 0.5) / MOST_MARKS * slices.span_s
    counts = slices.counted(instants).astype(int)
    return ErrorRow(outcome, tuple(marks.tolist()), tuple(counts.tolist()), len(instants))

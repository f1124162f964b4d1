"""Slices: the measured part of a load cut into equal times, which all of its drawings over time share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instruments.records import RequestRecord
from instruments.statistics import RunSummary

Instants = npt.NDArray[np.int64]
FEWEST, MOST = 16, 36
_A_SLICE = 10  # requests, where there are enough of them


@dataclass(frozen=True, slots=True)
class Slices:
    """`count` equal slices of [start, end] on the run's monotonic clock; second 0 is the start."""

    start_ns: int
    end_ns: int
    count: int
    window_s: float | None  # where the measured window ends; None where the run was cut off

    @property
    def width_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9 / self.count

    @property
    def span_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def edges_s(self) -> list[float]:
        """All edges: one more than there are slices."""
        return [edge * self.width_s for edge in range(self.count + 1)]

    def place(self, instants_ns: Instants) -> npt.NDArray[np.intp]:
        """Which slice each instant lies in, the very end in the last; −1 or `count` for those outside."""
        span = self.end_ns - self.start_ns
        # In integers, so that an instant on an edge is always in the later slice.
        places = np.clip((instants_ns - self.start_ns) * self.count // span, -1, self.count)
        places[instants_ns == self.end_ns] = self.count - 1
        return places.astype(np.intp, copy=False)

    def counted(
        self, instants_ns: Instants, weights: npt.NDArray[np.float64] | None = None
    ) -> npt.NDArray[np.float64]:
        """How many instants, or how much weight, lies in each slice."""
        found = np.bincount(self.place(instants_ns) + 1, weights, minlength=self.count + 2)
        return found[1:-1].astype(np.float64)


def slices_of(summary: RunSummary, count: int | None = None) -> Slices | None:
    """From the window's start to the last measured request's end; None where nothing was sent.

    Of a run that was cut off, which has no window, from the first sending.
    """
    ends = _instants(map(_last_ns, summary.records))
    if summary.span_ns is None:
        starts = _instants(record.sent_ns for record in summary.records)
        start_ns, window_ns = int(starts.min()) if len(starts) else 0, 0
    else:
        start_ns, window_ns = summary.span_ns
    end_ns = max(int(ends.max()) if len(ends) else 0, window_ns)
    if end_ns <= start_ns:
        return None
    window_s = None if summary.span_ns is None else (window_ns - start_ns) / 1e9
    return Slices(start_ns, end_ns, count or _fitting(len(summary.records)), window_s)


def _fitting(requests: int) -> int:
    return min(MOST, max(FEWEST, requests // _A_SLICE))


def _last_ns(record: RequestRecord) -> int | None:
    """The last that is known of a request; None of one that was never sent."""
    ended = end_ns(record)
    last = record.last_token_ns if ended is None else ended
    return record.sent_ns if last is None else last


def end_ns(record: RequestRecord) -> int | None:
    """When a request was over: its answer complete, its client gone, or its failure known."""
    return record.left_ns if record.done_ns is None else record.done_ns


def _instants(instants: Iterable[int | None]) -> Instants:
    return np.array([one for one in instants if one is not None], dtype=np.int64)

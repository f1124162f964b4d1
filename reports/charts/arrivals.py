"""Arrivals of tokens: tokens per second over time, and the gaps between them by time and length.

Every chunk of every answer is looked at once, a batch of answers at a time, without a loop over chunks.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from instruments.records import LoadRun, Outcome, Phase, RequestRecord
from instruments.statistics import RunSummary
from instruments.statistics.pooled import arrivals as all_arrivals
from reports.charts.slices import Instants, Slices

Counts = npt.NDArray[np.float64]
_BATCH = 20_000  # answers: of 64 tokens each, some 10 MB at a time
_ROWS = 18
_MOST_PER_DECADE = 10


@dataclass(frozen=True, slots=True)
class GapBins:
    """Bins of a logarithmic axis: bin i is from `edge_s(i)` to below `edge_s(i + 1)`."""

    first: int  # in steps of a decade's part, of nanoseconds
    count: int
    per_decade: int

    def edge_s(self, at: int) -> float:
        return float(10 ** ((self.first + at) / self.per_decade)) / 1e9

    def place(self, gaps_ns: Instants) -> npt.NDArray[np.intp]:
        """The bin of each positive gap."""
        steps = np.floor(np.log10(gaps_ns) * self.per_decade + 1e-9).astype(np.intp) - self.first
        return np.clip(steps, 0, self.count - 1)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What arrived. `heat[row][slice]` counts gaps, row 0 those of 0 s; `gaps` is how many there are."""

    tokens: Counts | None  # by slice; None where any answer does not say how many it has
    bins: GapBins | None  # None where no gap is longer than 0
    heat: npt.NDArray[np.int64]
    gaps: int
    of_tokens: bool  # gaps between tokens; else between chunks, which may carry several


def gap_bins(shortest_s: float, longest_s: float) -> GapBins:
    """About `_ROWS` bins over all gaps, on edges that divide a decade evenly."""
    low, high = (math.log10(one * 1e9) for one in (shortest_s, longest_s))
    per_decade = max(1, min(_MOST_PER_DECADE, int(_ROWS / max(high - low, 1e-9))))
    first, last = (math.floor(one * per_decade + 1e-9) for one in (low, high))
    return GapBins(first, last - first + 1, per_decade)


def arrivals(run: LoadRun, summary: RunSummary, slices: Slices) -> Arrivals:
    """Tokens of all phases by slice; gaps of completed measured answers, as the pooled quantiles have them.

    Where the server did not say how many tokens each chunk carries, an answer's tokens are spread evenly
    over its chunks: its sum is `usage`, and exact.
    """
    bins = _bins(summary.chunk_gap_s)
    of_tokens = len(summary.chunk_gap_s) > 0 and _of_tokens(summary)
    answers = [record for record in run.records if len(record.chunks_ns)]
    tokens = None if _untold(run.records) else _whole_answers(run.records, slices)
    heat = np.zeros(((bins.count if bins else 0) + 1, slices.count), dtype=np.int64)
    for records, instants in _batches(answers, _instants(run, summary)):
        batch = _batch(records, instants, slices)
        if tokens is not None:
            tokens += batch.tokens()
        _add_gaps(heat, batch, bins, of_tokens=of_tokens)
    return Arrivals(tokens, bins, heat, int(heat.sum()), of_tokens)


def _bins(ordered_s: Sequence[float]) -> GapBins | None:
    above = bisect_right(ordered_s, 0.0)
    return None if above >= len(ordered_s) else gap_bins(float(ordered_s[above]), float(ordered_s[-1]))


def _of_tokens(summary: RunSummary) -> bool:
    done = (one for one in summary.records if one.outcome is Outcome.COMPLETED and len(one.chunks_ns))
    return all(one.chunk_tokens is not None for one in done)


def _untold(records: Sequence[RequestRecord]) -> bool:
    return any(one.outcome is Outcome.COMPLETED and one.completion_tokens is None for one in records)


def _whole_answers(records: Sequence[RequestRecord], slices: Slices) -> Counts:
    """Answers that came in one piece, not streamed: their tokens are there at their end."""
    whole = [
        (one.done_ns, one.completion_tokens)
        for one in records
        if one.done_ns is not None and one.completion_tokens and not len(one.chunks_ns)
    ]
    instants = np.array([done_ns for done_ns, _ in whole], dtype=np.int64)
    return slices.counted(instants, np.array([tokens for _, tokens in whole], dtype=np.float64))


def _instants(run: LoadRun, summary: RunSummary) -> Instants:
    """Of all chunks of all records; those of the measured ones are known already, which mostly are all."""
    if len(summary.records) == len(run.records):
        return summary.measured.arrivals[0]
    return all_arrivals(run.records)[0]


def _batches(
    records: Sequence[RequestRecord], at_ns: Instants
) -> Iterator[tuple[Sequence[RequestRecord], Instants]]:
    done = 0
    for start in range(0, len(records), _BATCH):
        some = records[start : start + _BATCH]
        count = sum(len(one.chunks_ns) for one in some)
        yield some, at_ns[done : done + count]
        done += count


@dataclass(frozen=True, slots=True)
class _Batch:
    """All chunks of some answers one after the other, and which slice each arrived in."""

    records: Sequence[RequestRecord]
    lengths: Instants  # chunks of each answer
    instants: Instants
    places: npt.NDArray[np.intp]
    weights: Counts | None  # tokens that each chunk stands for; None: one
    slices: Slices

    def tokens(self) -> Counts:
        found = np.bincount(self.places + 1, self.weights, minlength=self.slices.count + 2)
        return found[1:-1].astype(np.float64)

    def counting(self) -> npt.NDArray[np.bool_]:
        """Chunks within the slices, of answers that are measured and complete."""
        counts = (one.phase is Phase.MEASURED and one.outcome is Outcome.COMPLETED for one in self.records)
        of_records = np.fromiter(counts, np.bool_, len(self.records))
        inside = (self.places >= 0) & (self.places < self.slices.count)
        return np.repeat(of_records, self.lengths) & inside


def _batch(records: Sequence[RequestRecord], instants: Instants, slices: Slices) -> _Batch:
    lengths = np.fromiter((len(one.chunks_ns) for one in records), np.int64, len(records))
    return _Batch(records, lengths, instants, slices.place(instants), _weights(records, lengths), slices)


def _weights(records: Sequence[RequestRecord], lengths: Instants) -> Counts | None:
    # Answers of one shape share one tuple of counts.
    shapes = list({id(one.chunk_tokens): one.chunk_tokens for one in records}.values())
    if all(shape is not None and set(shape) == {1} for shape in shapes):
        return None
    if all(shape is not None for shape in shapes):
        told = chain.from_iterable(one.chunk_tokens or () for one in records)
        return np.fromiter(told, np.float64, int(lengths.sum()))
    totals = np.fromiter((one.completion_tokens or 0 for one in records), np.float64, len(records))
    return np.repeat(totals / lengths, lengths)


def _add_gaps(heat: npt.NDArray[np.int64], batch: _Batch, bins: GapBins | None, *, of_tokens: bool) -> None:
    """Count each gap where its later chunk arrived; k tokens in a chunk are k − 1 gaps of 0 besides."""
    count = batch.slices.count
    counting = batch.counting()
    if of_tokens and batch.weights is not None:
        more = np.bincount(batch.places[counting], batch.weights[counting] - 1, minlength=count)
        heat[0] += more.astype(np.int64)
    counting[np.cumsum(batch.lengths)[:-1]] = False  # an answer's first chunk ends no gap
    counting[:1] = False
    gaps = np.diff(batch.instants, prepend=batch.instants[:1])[counting]
    rows = np.zeros(len(gaps), dtype=np.intp)
    if bins is not None:
        above = gaps > 0
        rows[above] = bins.place(gaps[above]) + 1
    flat = np.bincount(rows * count + batch.places[counting], minlength=heat.size)
    heat += flat.reshape(heat.shape)

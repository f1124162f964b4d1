"""Pooled: many values of each request, kept end to end in one array, 8 bytes a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from instruments.records import RequestRecord
from instruments.statistics.indicators import SECOND_NS

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
UNKNOWN = int(np.iinfo(np.int64).min)  # instead of an instant that there is not
_SHORT_NS = 2**32  # every gap is a whole number of nanoseconds; up to this 32 bits hold it


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Those of request i are `values[offsets[i]:offsets[i + 1]]`; none of one that does not tell (`told`)."""

    values: Floats
    offsets: Whole  # one more than there are requests, from 0
    told: Flags  # whether a request tells; one that does may still have no value

    @property
    def sizes(self) -> Whole:
        """How many values each request has."""
        return np.diff(self.offsets)

    def above(self, limit: float) -> Whole:
        """How many of each request's values are above a limit."""
        return np.diff(np.searchsorted(np.flatnonzero(self.values > limit), self.offsets))

    def means(self) -> Floats:
        """Of each request the mean of its values, 0 for one without: added up one by one, in their order.

        That is what `sum` does; numpy's own adds pairs of pairs, and ends in another last digit.
        """
        sizes = self.sizes
        order = np.argsort(-sizes, kind="stable")  # the longest first: at each step a leading part has a next
        starts, longest_first = self.offsets[:-1][order], sizes[order]
        sums = np.zeros(len(sizes))
        having = len(sizes)
        for step in range(int(longest_first[0]) if len(sizes) else 0):
            having = int(np.searchsorted(-longest_first[:having], -step, side="left"))
            sums[:having] += self.values[starts[:having] + step]
        means = np.empty(len(sizes))
        means[order] = sums / np.maximum(longest_first, 1)
        return means

    def ascending(self, kept: Flags | None = None) -> Floats:
        """All values of the requests that are kept, from the least to the largest."""
        values = self.values if kept is None else self.values[np.repeat(kept, self.sizes)]
        ticks_ns = values * SECOND_NS
        np.rint(ticks_ns, out=ticks_ns)
        if len(values) and ticks_ns.min() >= 0 and ticks_ns.max() < _SHORT_NS:  # half as wide, sorted sooner
            short = ticks_ns.astype(np.uint32)
            short.sort()
            return np.divide(short, SECOND_NS, out=ticks_ns)
        return np.sort(values)


def arrivals(records: Sequence[RequestRecord]) -> tuple[Whole, Whole]:
    """(at_ns, offsets): the instants of all chunks, those of request i between its offset and the next."""
    sizes = np.fromiter((len(one.chunks_ns) for one in records), np.int64, len(records))
    offsets = offsets_of(sizes)
    flat = chain.from_iterable(one.chunks_ns for one in records)
    return np.fromiter(flat, np.int64, int(offsets[-1])), offsets


def offsets_of(sizes: Whole) -> Whole:
    """Where each of so many values begins, and where the last ends."""
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))


def whole(values: Iterable[int | None], count: int, missing: int) -> Whole:
    """Whole numbers as an array, with a stand-in where there is none."""
    return np.fromiter((missing if value is None else value for value in values), np.int64, count)

"""Measured: indicators of many requests as arrays, each worked out once, in the order of the records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from instruments.records import Outcome, RequestRecord
from instruments.statistics.indicators import (
    INDICATORS,
    SECOND_NS,
    chunk_gaps_s,
    gaps_between,
    itls_s,
    spans_s,
    values_s,
)
from instruments.statistics.pooled import UNKNOWN, Flags, Floats, Pooled, Whole, arrivals, offsets_of, whole

Kept = TypeVar("Kept")


class Measured:
    """Of each record one value, or one row of values. Arrays are shared: none may be written to."""

    __slots__ = ("_kept", "records")

    def __init__(self, records: Sequence[RequestRecord]) -> None:
        self.records = records
        self._kept: dict[str, Any] = {}

    def values(self, indicator: str) -> Floats:
        """An indicator of requests, for every record whatever its outcome; NaN is undefined."""
        if not INDICATORS[indicator].per_request:
            raise ValueError(f"{indicator} has no value of each request")
        return self._once(
            indicator, lambda: values_s(indicator, self.told_ns, self.output_tokens, self.completed)
        )

    def told_ns(self, name: str) -> Whole:
        """One of the instants or spans of every record; UNKNOWN where it has none."""
        return self._once(
            name, lambda: whole(map(attrgetter(name), self.records), len(self.records), UNKNOWN)
        )

    def gaps(self, indicator: str) -> Pooled:
        """`itl_s` or `chunk_gap_s` of those that completed; the others tell none."""
        chunks = self._once("chunks", self._chunk_gaps)
        if indicator == "chunk_gap_s":
            return self._once(indicator, lambda: self._among_all(chunks))
        return self._once(indicator, lambda: self._among_all(itls_s(self.answers, chunks)))

    @property
    def arrivals(self) -> tuple[Whole, Whole]:
        """(at_ns, offsets) of all chunks of all records, whatever their outcome."""
        return self._once("arrivals", lambda: arrivals(self.records))

    def _chunk_gaps(self) -> Pooled:
        """Of those that completed."""
        return gaps_between(*self.arrivals) if self.completed.all() else chunk_gaps_s(self.answers)

    def gap_means(self, indicator: str) -> Floats:
        """Of each record the mean of its gaps; 0 without one."""
        return self._once(f"{indicator} means", self.gaps(indicator).means)

    def ascending(self, indicator: str) -> Floats:
        """All gaps together, from the least to the largest."""
        gaps, chunks = self.gaps(indicator), self.gaps("chunk_gap_s")
        name = "chunk_gap_s" if gaps.values is chunks.values else indicator  # a token a chunk: sorted once
        return self._once(f"{name} ascending", gaps.ascending)

    def view(self, indicator: str) -> Sequence[float]:
        """The same as a sequence of Python's own floats that nobody can write to."""
        return self.ascending(indicator).data.toreadonly()

    def told(self, indicator: str) -> int:
        """How many of those that completed tell their gaps."""
        return int(self.gaps(indicator).told.sum())

    def distribution(self, indicator: str) -> tuple[float, ...]:
        """An indicator of those that completed and have it, ascending."""
        values = self.values(indicator)[self.completed]
        return tuple(np.sort(values[~np.isnan(values)]).tolist())

    def undefined(self, indicator: str) -> int:
        """How many of those that completed do not have it."""
        return int(np.isnan(self.values(indicator)[self.completed]).sum())

    @property
    def answers(self) -> list[RequestRecord]:
        """Those that completed."""
        return self._once("answers", lambda: [one for one in self.records if one.outcome is _COMPLETED])

    @property
    def completed(self) -> Flags:
        return self.had(_COMPLETED)

    def had(self, outcome: Outcome) -> Flags:
        """Which of them ended so."""
        return self._once(
            outcome, lambda: np.array([one.outcome is outcome for one in self.records], np.bool_)
        )

    @property
    def output_tokens(self) -> Whole:
        """Completion tokens as `usage` tells them; −1 where it does not."""
        told = (one.completion_tokens for one in self.records)
        return self._once("output_tokens", lambda: whole(told, len(self.records), -1))

    @property
    def in_order(self) -> Whole:
        """The records' places in the order of their sending; of those never sent, in that of being due."""
        return self._once("in_order", lambda: np.argsort(self._begun_ns(), kind="stable"))

    def send_lags(self) -> Floats:
        """Ascending, less the time that making a connection took: that is the network's and the server's."""
        sent, connecting = self.told_ns("sent_ns"), self.told_ns("connect_ns")
        lags = spans_s(self.told_ns("due_ns"), sent)
        lags -= np.where(connecting == UNKNOWN, 0, connecting) / SECOND_NS
        return np.sort(lags[sent != UNKNOWN])

    def _among_all(self, of_answers: Pooled) -> Pooled:
        """Values of the completed ones, in their places among all records."""
        sizes = np.zeros(len(self.records), dtype=np.int64)
        told = np.zeros(len(self.records), dtype=np.bool_)
        sizes[self.completed], told[self.completed] = of_answers.sizes, of_answers.told
        return Pooled(of_answers.values, offsets_of(sizes), told)

    def _begun_ns(self) -> Whole:
        sent = self.told_ns("sent_ns")
        return np.where(sent == UNKNOWN, self.told_ns("due_ns"), sent)

    def _once(self, name: str, work_out: Callable[[], Kept]) -> Kept:
        if name not in self._kept:
            self._kept[name] = work_out()
        kept: Kept = self._kept[name]
        return kept


_COMPLETED = Outcome.COMPLETED

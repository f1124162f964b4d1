"""What the last seconds of a load were like, kept so that looking costs the same however heavy the load is.

Every request that ended is counted. Quantiles are of at most `VALUES_A_LOOK` values of each look, evenly
chosen from what ended, in buckets two percent wide: a view is glanced at; the journal has the rest.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from instruments.records import Outcome, RequestRecord
from instruments.statistics.indicators import chunk_gap_s, itl_s, ttft_s

if TYPE_CHECKING:
    from instruments.fleet import Progress
    from instruments.live.due import DueByNow

WINDOW_S = 10.0
VALUES_A_LOOK = 256
_BUCKETS_A_FACTOR_OF_E = 50
_ZERO = -1_000_000  # the bucket of 0 s: tokens that came in one chunk


@dataclass(frozen=True, slots=True)
class Glance:
    """How a load goes. Rates and quantiles are of the last seconds, all else since the start."""

    name: str
    elapsed_s: float
    ended: int
    total: int | None
    users: int | None
    in_flight: int | None
    requests_per_s: float | None
    output_tokens_per_s: float | None  # of the answers that ended; None where a server does not count
    ttft_s: tuple[float, float] | None  # p50 and p95
    itl_s: tuple[float, float] | None
    not_completed: tuple[tuple[Outcome, int], ...]
    left_s: float | None

    @property
    def share_done(self) -> float | None:
        """0 to 1: of the time, or of the requests, whichever is further from the end."""
        if self.left_s is None:
            return None
        return self.elapsed_s / (self.elapsed_s + self.left_s) if self.elapsed_s > 0 else 0.0


class Recent:
    """Takes progress, gives glances."""

    def __init__(
        self, name: str, total: int | None, duration_s: float | None, due: DueByNow | None = None
    ) -> None:
        self._name, self._total, self._duration_s, self._due = name, total, duration_s, due
        self._not_completed: Counter[Outcome] = Counter()
        self._looks: deque[_Look] = deque()
        self._ttft, self._itl = RecentValues(), RecentValues()
        self._ended, self._tokens = 0, 0
        self._uncounted = 0  # completed requests of the window without `usage`
        self._before_s = 0.0  # where the window begins
        self._last: Progress | None = None

    def take(self, progress: Progress) -> None:
        """Count what ended since the last look."""
        records = progress.records
        self._last = progress
        outcomes = Counter(record.outcome for record in records)
        completed = [record for record in records if record.outcome is Outcome.COMPLETED]
        tokens = [record.completion_tokens for record in completed]
        look = _Look(
            at_s=progress.elapsed_s,
            ended=len(records),
            tokens=sum(filter(None, tokens)),
            uncounted=tokens.count(None),
        )
        outcomes.pop(Outcome.COMPLETED, None)
        self._not_completed.update(outcomes)
        self._looks.append(look)
        self._add(look, 1)
        self._ttft.add(_ttfts(completed))
        self._itl.add(_gaps(completed))
        while self._looks[0].at_s < progress.elapsed_s - WINDOW_S:
            gone = self._looks.popleft()
            self._before_s = gone.at_s
            self._add(gone, -1)
            self._ttft.drop()
            self._itl.drop()

    def glance(self) -> Glance | None:
        """The numbers now; None before anything was taken."""
        last = self._last
        if last is None:
            return None
        spent_s = last.elapsed_s - self._before_s
        rate = self._ended / spent_s if spent_s > 0 else None
        return Glance(
            name=self._name,
            elapsed_s=last.elapsed_s,
            ended=last.ended,
            total=self._total,
            users=last.users,
            in_flight=self._due(last) - last.ended if self._due is not None else None,
            requests_per_s=rate,
            output_tokens_per_s=self._tokens / spent_s if spent_s > 0 and not self._uncounted else None,
            ttft_s=self._ttft.p50_p95(),
            itl_s=self._itl.p50_p95(),
            not_completed=tuple(self._not_completed.most_common()),
            left_s=self._left_s(last, rate),
        )

    def _add(self, look: _Look, sign: int) -> None:
        self._ended += sign * look.ended
        self._tokens += sign * look.tokens
        self._uncounted += sign * look.uncounted

    def _left_s(self, last: Progress, rate_per_s: float | None) -> float | None:
        ways = []
        if self._duration_s is not None:
            ways.append(max(0.0, self._duration_s - last.elapsed_s))
        if self._total is not None and rate_per_s:
            ways.append(max(0, self._total - last.ended) / rate_per_s)
        return min(ways, default=None)


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    ended: int
    tokens: int
    uncounted: int


class RecentValues:
    """A histogram of the looks of a window; adding or dropping one costs what it holds, not what all hold."""

    def __init__(self) -> None:
        self._looks: deque[Counter[int]] = deque()
        self._all: Counter[int] = Counter()

    def add(self, values_s: Iterable[float]) -> None:
        """One more look."""
        log, factor = math.log, _BUCKETS_A_FACTOR_OF_E
        look = Counter(math.floor(factor * log(value)) if value > 0 else _ZERO for value in values_s)
        self._looks.append(look)
        self._all.update(look)

    def drop(self) -> None:
        """The oldest look is over."""
        self._all.subtract(self._looks.popleft())
        self._all = +self._all

    def p50_p95(self) -> tuple[float, float] | None:
        """Both, to one percent; None without values."""
        total = sum(self._all.values())
        if not total:
            return None
        ordered = sorted(self._all.items())
        return _at(ordered, 0.5 * total), _at(ordered, 0.95 * total)


def _at(ordered: Sequence[tuple[int, int]], rank: float) -> float:
    below = accumulate(count for _, count in ordered)
    bucket = next(bucket for (bucket, _), so_far in zip(ordered, below, strict=True) if so_far >= rank)
    return 0.0 if bucket == _ZERO else math.exp((bucket + 0.5) / _BUCKETS_A_FACTOR_OF_E)


def _ttfts(completed: Sequence[RequestRecord]) -> list[float]:
    chosen = completed[:: 1 + len(completed) // VALUES_A_LOOK]
    return [value for record in chosen if (value := ttft_s(record)) is not None]


def _gaps(completed: Sequence[RequestRecord]) -> list[float]:
    """Gaps between the tokens of a few whole answers; between chunks where tokens are not told."""
    held = sum(len(record.chunks_ns) for record in completed)
    found: list[float] = []
    for record in completed[:: 1 + held // VALUES_A_LOOK]:
        gaps = itl_s(record)
        found += gaps if gaps is not None else chunk_gap_s(record)
        if len(found) > VALUES_A_LOOK:
            break
    return found

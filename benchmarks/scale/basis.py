"""The basis: the few figures that the plan rests on, each a median of rounds with its spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.scale.points import PLANNED_RATES, START
from benchmarks.scale.reading import Read
from benchmarks.scale.streaming import Run

# The ruler's own error, in every round: beyond one of these a number of streams is too large for a process.
MOST_ERROR_MS = 1.0  # of TTFT p99 and of ITL p99, beside the server's own stamps
MOST_SEND_LAG_MS = 10.0  # p99
LEAST_SERVED = 0.97  # of the tokens: of a server that falls behind, streams cost the client less than they do
KIB, MIB = 1024, 1024**2


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with the least and the most of its rounds."""

    value: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Row:
    """A figure under the name that the plan's formulas have for it."""

    name: str
    what: str
    figure: Figure


def figure(values: Sequence[float]) -> Figure:
    """Four significant digits: what is printed is what the plan is made of. ValueError without values."""
    if not values:
        raise ValueError("a figure of the plan has no round that counts")
    return Figure(four(median(values)), four(min(values)), four(max(values)), len(values))


def four(value: float) -> float:
    """To four significant digits."""
    return float(f"{value:.4g}")


def is_true(run: Run) -> bool:
    """Whether the server kept up, and the client's own error stayed within the bounds in this run."""
    if run.problem is not None or run.void or (run.served_share or 0.0) < LEAST_SERVED:
        return False
    bounded = (
        (run.ttft_error_ms, MOST_ERROR_MS),
        (run.itl_error_ms, MOST_ERROR_MS),
        (run.send_lag_p99_ms, MOST_SEND_LAG_MS),
    )
    return all(value is not None and abs(value) <= most for value, most in bounded)


def most_streams(runs: Sequence[Run], rate: float) -> int:
    """The largest number of streams at and below which most rounds were true; 0 where there is none."""
    most = 0
    for streams in sorted({run.streams for run in runs if run.rate == rate and not _is_start(run)}):
        found = [is_true(run) for run in runs if run.rate == rate and run.streams == streams]
        if 2 * sum(found) <= len(found):
            break
        most = streams
    return most


def rows(runs: Sequence[Run], reads: Sequence[Read]) -> list[Row]:
    """All figures of the plan. ValueError where a round that counts is lacking."""
    starts = [run for run in runs if _is_start(run) and run.problem is None]
    start_bytes = median([run.peak_bytes for run in starts]) if starts else 0.0
    found = [
        Row(
            "process_mib",
            "memory of a client process before its streams, MiB",
            _over(starts, lambda run: run.peak_bytes / MIB),
        ),
    ]
    for rate in PLANNED_RATES:
        found += _of_rate(rate, _largest(runs, rate), start_bytes)
    found += _of_requests(runs, starts)
    return found + _of_merging([read for read in reads if read.problem is None])


def _is_start(run: Run) -> bool:
    return (run.rate, run.streams, run.tokens) == (START.rate, START.streams, START.tokens)


def _of_rate(rate: float, largest: Sequence[Run], start_bytes: float) -> list[Row]:
    at = f"{rate:g}"
    return [
        Row(
            f"most_streams_{at}",
            f"streams of {at} tokens/s that one process measured truly (above)",
            _over(largest, lambda run: run.streams),
        ),
        Row(
            f"cores_per_1000_{at}",
            f"cores for 1,000 streams of {at} tokens/s, all open",
            _over(largest, lambda run: (run.client_share or 0.0) / run.streams * 1_000),
        ),
        Row(
            f"stream_kib_{at}",
            f"memory for a stream of {at} tokens/s, KiB",
            _over(largest, lambda run: (run.peak_bytes - start_bytes) / run.streams / KIB),
        ),
    ]


def _of_requests(runs: Sequence[Run], starts: Sequence[Run]) -> list[Row]:
    """What does not go with a stream's seconds: requests, bytes, descriptors."""
    start_s = median([run.whole_cpu_s or 0.0 for run in starts]) if starts else 0.0
    low, high = PLANNED_RATES
    of_low, of_high = (_largest(runs, rate) for rate in (low, high))
    per_token = [
        (b.journal_bytes / b.streams - a.journal_bytes / a.streams) / (b.tokens - a.tokens)
        for a, b in zip(of_low, of_high, strict=False)
    ]
    fixed = [
        a.journal_bytes / a.streams - a.tokens * each for a, each in zip(of_low, per_token, strict=False)
    ]
    return [
        Row(
            "request_ms",
            "processor time of a request beside its tokens (connection, sending, record, journal), ms",
            _over(of_low, lambda run: _request_ms(run, start_s)),
        ),
        Row(
            "descriptors",
            "descriptors of a process beside one for each stream",
            _over(of_low, lambda run: run.descriptors - run.streams),
        ),
        Row(
            "body_bytes",
            "bytes of a streamed answer for each token",
            _over(of_high, lambda run: run.body_bytes / (run.streams * run.tokens)),
        ),
        Row("journal_token_bytes", "bytes in the journal for each token", figure(per_token)),
        Row(
            "journal_request_bytes", "bytes in the journal for each request beside its tokens", figure(fixed)
        ),
    ]


def _of_merging(reads: Sequence[Read]) -> list[Row]:
    """Slopes between the smaller and the larger size, round by round: a process's own start falls out."""
    sizes = sorted({read.requests for read in reads})
    if len(sizes) < 2:
        raise ValueError("two sizes of merged runs are needed")
    pairs = list(
        zip(
            *([read for read in reads if read.requests == size] for size in (sizes[0], sizes[-1])),
            strict=False,
        )
    )
    millions = (sizes[-1] - sizes[0]) / 1e6
    tokens = pairs[0][0].tokens
    return [
        Row(
            "merge_s",
            f"seconds to read and merge a million requests of {tokens} tokens",
            figure([((b.seconds or 0.0) - (a.seconds or 0.0)) / millions for a, b in pairs]),
        ),
        Row(
            "merge_gb",
            "memory for these, GB",
            figure([(b.peak_bytes - a.peak_bytes) / 1e9 / millions for a, b in pairs]),
        ),
    ]


def _largest(runs: Sequence[Run], rate: float) -> list[Run]:
    """The true rounds of the largest number of streams."""
    most = most_streams(runs, rate)
    return [run for run in runs if run.rate == rate and run.streams == most and is_true(run)]


def _request_ms(run: Run, start_s: float) -> float:
    streamed_s = run.streams * run.tokens / run.rate
    steady_s = (run.client_share or 0.0) / run.streams * streamed_s
    return ((run.whole_cpu_s or 0.0) - start_s - steady_s) / run.streams * 1e3


def _over(runs: Sequence[Run], value: Callable[[Run], float]) -> Figure:
    return figure([value(run) for run in runs])

"""Frames: a run's records as pandas tables, one row a request and one row a token.

Seconds of both tables count from the run's zero: the start of the measured window, or the first due
instant of a journal that has none. Requests of the warm-up are before it, so theirs are negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from instruments.records import LoadRun, RequestRecord
from instruments.statistics.indicators import (
    SECOND_NS,
    chunk_gap_s,
    e2e_from_due_s,
    e2e_s,
    itl_s,
    send_lag_s,
    tpot_s,
    ttft_from_due_s,
    ttft_s,
)

if TYPE_CHECKING:  # half a second of importing, which a run by hand does not pay
    import pandas as pd

INSTANTS = ("due", "sent", "headers", "first_data", "first_token", "last_token", "done")
SPANS = ("connect", "tls", "dns", "read_lag")
INDICATORS: dict[str, Callable[[RequestRecord], float | None]] = {
    "ttft_s": ttft_s,
    "ttft_from_due_s": ttft_from_due_s,
    "tpot_s": tpot_s,
    "e2e_s": e2e_s,
    "e2e_from_due_s": e2e_from_due_s,
    "send_lag_s": send_lag_s,
}
WORDS = ("phase", "outcome", "scenario", "finish_reason", "error", "text_sha256", "raw_head")
COUNTS = ("user", "turn", "status", "prompt_tokens", "completion_tokens", "prompt_tokens_asked", "body_bytes")


@dataclass(frozen=True, slots=True)
class Frames:
    """Both tables of one run; `tokens.join(requests, on="request_id")` lays them side by side."""

    requests: pd.DataFrame
    tokens: pd.DataFrame


def frames(run: LoadRun) -> Frames:
    """Both tables."""
    return Frames(request_frame(run), token_frame(run))


def zero_ns(run: LoadRun) -> int:
    """The instant from which the tables count: of the run's monotonic clock, in nanoseconds."""
    if run.window is not None:
        return run.window.start_ns
    return min((record.due_ns for record in run.records), default=run.anchor.monotonic_ns)


def request_frame(run: LoadRun) -> pd.DataFrame:
    """One row a request, in the order of sending, indexed by `request_id`.

    Instants and spans are float64 seconds (NaN: it did not happen), indicators are those of
    `statistics.indicators` (NaN: undefined), counts Int64 and words string (NA: not told).
    `due_at` is the due instant on the wall clock, datetime64[ns, UTC]: a label to find a request
    in a server's logs by, never to be subtracted.
    """
    import pandas as pd

    records, zero = run.records, zero_ns(run)
    columns: dict[str, Any] = {"request_index": pd.array([one.index for one in records], dtype="Int64")}
    for name in ("phase", "outcome", "scenario"):
        columns[name] = _words(records, name)
    for name in INSTANTS:
        instants = (getattr(one, f"{name}_ns") for one in records)
        columns[f"{name}_s"] = _floats(None if at is None else (at - zero) / SECOND_NS for at in instants)
    for name, indicator in INDICATORS.items():
        columns[name] = _floats(map(indicator, records))
    for name in SPANS:
        spans = (getattr(one, f"{name}_ns") for one in records)
        columns[f"{name}_s"] = _floats(None if span is None else span / SECOND_NS for span in spans)
    for name in COUNTS:
        columns[name] = pd.array([getattr(one, name) for one in records], dtype="Int64")
    columns["chunks"] = pd.array([len(one.chunks_ns) for one in records], dtype="Int64")
    for name in WORDS[3:]:
        columns[name] = _words(records, name)
    due_unix_ns = [run.anchor.unix_ns + one.due_ns - run.anchor.monotonic_ns for one in records]
    columns["due_at"] = pd.to_datetime(pd.Series(due_unix_ns, dtype="int64"), unit="ns", utc=True).array
    ids = pd.Index([one.request_id for one in records], name="request_id", dtype="string")
    return pd.DataFrame(columns, index=ids)


def token_frame(run: LoadRun) -> pd.DataFrame:
    """One row a token, by request and then by arrival.

    | column | dtype | |
    |---|---|---|
    | request_id | category | joins with the other table's index |
    | token | Int64 | 1, 2, … within its answer; NA where the server did not say how many a chunk carries: |
    | | | such an answer has one row a chunk |
    | chunk | int64 | 1, 2, … : the chunk that it came with |
    | arrival_s | float64 | of its chunk |
    | gap_s | float64 | since the token before, 0 within a chunk (the ITL); NaN for the first, or unknown |
    | chunk_gap_s | float64 | since the chunk before, at a chunk's first token; NaN elsewhere |
    """
    import numpy as np
    import pandas as pd

    answered = [record for record in run.records if record.chunks_ns]
    rows = [_token_rows(record) for record in answered]
    lengths = [len(one.chunk) for one in rows]
    codes = np.repeat(np.arange(len(answered)), lengths)
    ids = pd.Index([record.request_id for record in answered], dtype="string")
    arrivals_ns = [at for one in rows for at in one.arrival_ns]
    return pd.DataFrame(
        {
            "request_id": pd.Categorical.from_codes(codes, categories=ids),
            "token": pd.array([number for one in rows for number in one.token], dtype="Int64"),
            "chunk": np.array([number for one in rows for number in one.chunk], dtype="int64"),
            "arrival_s": (np.array(arrivals_ns, dtype="int64") - zero_ns(run)) / SECOND_NS,
            "gap_s": _floats(gap for one in rows for gap in one.gap_s),
            "chunk_gap_s": _floats(gap for one in rows for gap in one.chunk_gap_s),
        }
    )


@dataclass(frozen=True, slots=True)
class _TokenRows:
    token: Sequence[int | None]
    chunk: Sequence[int]
    arrival_ns: Sequence[int]
    gap_s: Sequence[float | None]
    chunk_gap_s: Sequence[float | None]


def _token_rows(record: RequestRecord) -> _TokenRows:
    """The rows of one answer that carries at least one chunk."""
    instants, numbers = record.chunks_ns, range(1, len(record.chunks_ns) + 1)
    since_chunk = (None, *chunk_gap_s(record))
    gaps = itl_s(record)
    if gaps is None or record.chunk_tokens is None:
        unknown = (None,) * len(instants)
        return _TokenRows(unknown, numbers, instants, unknown, since_chunk)
    rest = [(None,) * (tokens - 1) for tokens in record.chunk_tokens]
    return _TokenRows(
        token=range(1, sum(record.chunk_tokens) + 1),
        chunk=_spread(numbers, record.chunk_tokens),
        arrival_ns=_spread(instants, record.chunk_tokens),
        gap_s=(None, *gaps),
        chunk_gap_s=[one for first, more in zip(since_chunk, rest, strict=True) for one in (first, *more)],
    )


def _spread(values: Iterable[int], counts: Sequence[int]) -> list[int]:
    """Each value as often as its count says."""
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _floats(values: Iterable[float | None]) -> Any:
    import numpy as np

    return np.array([np.nan if value is None else value for value in values], dtype="float64")


def _words(records: Sequence[RequestRecord], name: str) -> Any:
    import pandas as pd

    values = (getattr(one, name) for one in records)
    return pd.array([None if value is None else str(value) for value in values], dtype="string")

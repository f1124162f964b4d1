"""Frames: a run's records as pandas tables, one row a request and one row a token.

Seconds of both tables count from the run's zero: the start of the measured window, or the first due
instant of a journal that has none. Requests of the warm-up are before it, so theirs are negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from instruments.records import LoadRun, RequestRecord
from instruments.statistics.indicators import (
    SECOND_NS,
    chunk_gaps_s,
    e2e_from_due_s,
    e2e_s,
    send_lag_s,
    tpot_s,
    ttft_from_due_s,
    ttft_s,
)

if TYPE_CHECKING:  # half a second of importing, which a run by hand does not pay
    import pandas as pd

    from instruments.statistics.pooled import Flags, Whole

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

    from instruments.statistics.pooled import arrivals

    answered = [record for record in run.records if record.chunks_ns]
    at_ns, offsets = arrivals(answered)
    rows = _rows(answered, offsets)
    since = np.full(len(at_ns), np.nan)  # the chunk before, of each chunk
    since[rows.chunk > 1] = chunk_gaps_s(answered).values
    chunk_gap_s = np.where(rows.first, since[rows.of_chunk], np.nan)
    within = rows.told & ~(rows.first & (rows.token == 1))
    gap_s = np.where(within, np.where(rows.first, chunk_gap_s, 0.0), np.nan)
    return pd.DataFrame(
        {
            "request_id": pd.Categorical.from_codes(
                rows.request, categories=pd.Index([one.request_id for one in answered], dtype="string")
            ),
            "token": pd.arrays.IntegerArray(rows.token, ~rows.told),
            "chunk": rows.chunk[rows.of_chunk],
            "arrival_s": ((at_ns - zero_ns(run)) / SECOND_NS)[rows.of_chunk],
            "gap_s": gap_s,
            "chunk_gap_s": chunk_gap_s,
        },
        copy=False,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Which token each row is; `chunk` is of each chunk, all the others of each row."""

    chunk: Whole  # 1, 2, … in its answer
    of_chunk: Whole  # the chunk's place among all chunks
    request: Whole  # the answer's place
    token: Whole  # 1, 2, … in its answer
    first: Flags  # whether it is its chunk's first
    told: Flags  # whether the server said how many tokens each chunk carries


def _rows(answered: Sequence[RequestRecord], offsets: Whole) -> _Rows:
    import numpy as np

    counts = [one.chunk_tokens or (1,) * len(one.chunks_ns) for one in answered]
    of_chunk = np.repeat(
        np.arange(offsets[-1]), np.fromiter(chain.from_iterable(counts), np.int64, int(offsets[-1]))
    )
    owner = np.repeat(np.arange(len(answered)), np.diff(offsets))  # of each chunk
    request = owner[of_chunk]
    begins = np.searchsorted(request, np.arange(len(answered)))  # each answer's first row
    known = np.array([one.chunk_tokens is not None for one in answered], dtype=np.bool_)
    return _Rows(
        chunk=np.arange(offsets[-1]) - offsets[owner] + 1,
        of_chunk=of_chunk,
        request=request,
        token=np.arange(len(request)) - begins[request] + 1,
        first=np.diff(of_chunk, prepend=-1) > 0,
        told=known[request],
    )


def _floats(values: Iterable[float | None]) -> Any:
    import numpy as np

    return np.array([np.nan if value is None else value for value in values], dtype="float64")


def _words(records: Sequence[RequestRecord], name: str) -> Any:
    import pandas as pd

    values = (getattr(one, name) for one in records)
    return pd.array([None if value is None else str(value) for value in values], dtype="string")

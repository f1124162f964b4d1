"""Loads made in memory, on a clock that begins at 0: every instant in seconds, and worked out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instruments.clock import ClockAnchor
from instruments.records import LoadRun, Outcome, Phase, RequestRecord, Window
from instruments.statistics import summarize
from instruments.telemetry.record import Series, ServerRecord
from reports.loads import Load

NS = 1_000_000_000
UNIX_S = 1_795_240_810  # of the run's second 0


def request(
    sent_s: float,
    chunks_s: Sequence[float] = (),
    done_s: float | None = None,
    outcome: Outcome = Outcome.COMPLETED,
    **changes: Any,
) -> RequestRecord:
    """A request of which the chunks arrive at `chunks_s`, each of one token unless it is said otherwise."""
    chunks = tuple(round(one * NS) for one in chunks_s)
    ended = done_s if done_s is not None else (chunks_s[-1] if chunks_s else None)
    given: dict[str, Any] = {
        "index": 0,
        "request_id": "r",
        "user": 0,
        "phase": Phase.MEASURED,
        "outcome": outcome,
        "due_ns": round(sent_s * NS),
        "sent_ns": round(sent_s * NS),
        "first_token_ns": chunks[0] if chunks else None,
        "last_token_ns": chunks[-1] if chunks else None,
        "done_ns": None if ended is None else round(ended * NS),
        "completion_tokens": len(chunks) or None,
        "chunks_ns": chunks,
        "chunk_tokens": (1,) * len(chunks) if chunks else None,
    }
    return RequestRecord(**given | changes)


def load_of(
    records: Sequence[RequestRecord],
    window_s: tuple[float, float] | None = (0, 5),
    name: str = "load",
    series: dict[str, Series] | None = None,
    **described: Any,
) -> Load:
    """A load of these records, with what the server told where `series` is given."""
    window = None if window_s is None else Window(*(round(one * NS) for one in window_s))
    description = {"workload": {"id": name}, **described}
    run = LoadRun(name, description, ClockAnchor(0, UNIX_S * NS), tuple(records), window, complete=True)
    server = None if series is None else ServerRecord("a test", series=series, clock_error_s=0.002)
    return Load(f"loads/{name}.jsonl", run, summarize(run, server))

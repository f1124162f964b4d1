"""Indicators: the only place with formulas. Each says its unit, and when it is undefined.

Undefined is None and never 0; a run in which everything failed has no TTFT, not one of 0 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from instruments.records import Outcome, RequestRecord

SECOND_NS = 1e9


def ttft_s(record: RequestRecord) -> float | None:
    """Time to first token: first_token − sent. Undefined without a token, or without streaming."""
    return _between(record.sent_ns, record.first_token_ns)


def ttft_from_due_s(record: RequestRecord) -> float | None:
    """first_token − due: what a user waits, the client's own delay included."""
    return _between(record.due_ns, record.first_token_ns)


def tpot_s(record: RequestRecord) -> float | None:
    """Time per output token: (last_token − first_token) / (n − 1); undefined for n < 2.

    n comes from `usage`. The first token is left out, as in MLPerf Inference and vLLM's own client.
    """
    span_s = _between(record.first_token_ns, record.last_token_ns)
    n = record.completion_tokens
    if span_s is None or n is None or n < 2:
        return None
    return span_s / (n - 1)


def e2e_s(record: RequestRecord) -> float | None:
    """End to end: done − sent. Undefined unless the request completed."""
    return _between(record.sent_ns, record.done_ns) if record.outcome is Outcome.COMPLETED else None


def e2e_from_due_s(record: RequestRecord) -> float | None:
    """done − due. Undefined unless the request completed."""
    return _between(record.due_ns, record.done_ns) if record.outcome is Outcome.COMPLETED else None


def send_lag_s(record: RequestRecord) -> float | None:
    """sent − due: how late the client was. Undefined for a request that was never sent."""
    return _between(record.due_ns, record.sent_ns)


def itl_s(record: RequestRecord) -> tuple[float, ...] | None:
    """Gaps between tokens: a chunk of k tokens is one gap and k − 1 zeros.

    Undefined where the server did not say how many tokens each chunk carries.
    """
    if record.chunk_tokens is None or not record.chunks_ns:
        return None
    if set(record.chunk_tokens) == {1}:
        return chunk_gap_s(record)
    gaps: list[float] = [0.0] * (record.chunk_tokens[0] - 1)
    for gap, tokens in zip(chunk_gap_s(record), record.chunk_tokens[1:], strict=True):
        gaps += [gap] + [0.0] * (tokens - 1)
    return tuple(gaps)


def chunk_gap_s(record: RequestRecord) -> tuple[float, ...]:
    """Gaps between chunks that carry generated text, however many tokens each carries."""
    return tuple((later - earlier) / SECOND_NS for earlier, later in pairwise(record.chunks_ns))


def _between(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / SECOND_NS


@dataclass(frozen=True, slots=True)
class Indicator:
    """What an objective may speak of. `of` is None for those that are counted, not timed."""

    name: str
    label: str
    unit: str  # "s", "share" (0 to 1) or "requests"
    of: Callable[[RequestRecord], float | None] | None
    statistics: tuple[str, ...]

    @property
    def per_request(self) -> bool:
        return self.of is not None


QUANTILES = ("p50", "p75", "p90", "p95", "p99", "p99.9")

INDICATORS = {
    indicator.name: indicator
    for indicator in (
        Indicator("ttft_s", "TTFT", "s", ttft_s, QUANTILES),
        Indicator("ttft_from_due_s", "TTFT from due", "s", ttft_from_due_s, QUANTILES),
        Indicator("tpot_s", "TPOT", "s", tpot_s, QUANTILES),
        Indicator("e2e_s", "E2E", "s", e2e_s, QUANTILES),
        Indicator("e2e_from_due_s", "E2E from due", "s", e2e_from_due_s, QUANTILES),
        Indicator("error_share", "error share", "share", None, ("share",)),
        Indicator("goodput_share", "goodput share", "share", None, ("share",)),
        Indicator("errors", "requests not completed", "requests", None, ("count",)),
    )
}

"""Indicators: the only place with formulas. Each says its unit, and when it is undefined.

Undefined is None and never 0; a run in which everything failed has no TTFT, not one of 0 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Literal

from instruments.records import Outcome, RequestRecord

if TYPE_CHECKING:  # a load by hand has no need of numpy while it goes
    from instruments.statistics.pooled import Flags, Floats, Pooled, Whole

SECOND_NS = 1e9
# From which instant to which the indicators of a request run; in a TPOT the tokens share that.
_SPANS = {
    "ttft_s": ("sent_ns", "first_token_ns"),
    "ttft_from_due_s": ("due_ns", "first_token_ns"),
    "tpot_s": ("first_token_ns", "last_token_ns"),
    "e2e_s": ("sent_ns", "done_ns"),
    "e2e_from_due_s": ("due_ns", "done_ns"),
}


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


def values_s(indicator: str, told_ns: Callable[[str], Whole], tokens: Whole, completed: Flags) -> Floats:
    """An indicator of many requests at once, to the same digit; NaN where it is undefined.

    `told_ns` gives an instant of every request by its name; `tokens` are below 0 where they are not told.
    """
    import numpy as np

    values = spans_s(*map(told_ns, _SPANS[indicator]))
    if indicator == "tpot_s":
        return np.where(tokens < 2, np.nan, values / np.maximum(tokens - 1, 1))
    return np.where(completed, values, np.nan) if indicator.startswith("e2e") else values


def spans_s(start_ns: Whole, end_ns: Whole) -> Floats:
    """From an instant of each request to another; NaN where one of them is UNKNOWN."""
    import numpy as np

    from instruments.statistics.pooled import UNKNOWN

    known = (start_ns != UNKNOWN) & (end_ns != UNKNOWN)
    return np.where(known, (end_ns - start_ns) / SECOND_NS, np.nan)


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


def chunk_gaps_s(records: Sequence[RequestRecord]) -> Pooled:
    """`chunk_gap_s` of many requests at once, to the same digit."""
    from instruments.statistics.pooled import arrivals

    return gaps_between(*arrivals(records))


def gaps_between(at_ns: Whole, offsets: Whole) -> Pooled:
    """The same of the instants of their chunks, those of request i from offset i to the next."""
    import numpy as np

    from instruments.statistics.pooled import Pooled, offsets_of

    within = np.ones(max(0, len(at_ns) - 1), dtype=np.bool_)
    edges = offsets[1:-1]
    within[edges[(edges > 0) & (edges < len(at_ns))] - 1] = False  # from one answer's last chunk to another's
    gaps = np.diff(at_ns)[within] / SECOND_NS
    sizes = np.diff(offsets)
    return Pooled(gaps, offsets_of(np.maximum(sizes - 1, 0)), np.ones(len(sizes), dtype=np.bool_))


def itls_s(records: Sequence[RequestRecord], chunks: Pooled) -> Pooled:
    """`itl_s` of many requests at once, to the same digit; `chunks` are the gaps between their chunks."""
    import numpy as np

    told = [one.chunk_tokens is not None and bool(one.chunks_ns) for one in records]
    counts = [one.chunk_tokens or () if known else () for one, known in zip(records, told, strict=True)]
    # Many answers share one tuple of counts, which need not be looked through for each.
    single = {place for place, tokens in {id(one): one for one in counts}.items() if set(tokens) == {1}}
    if all(id(tokens) in single for tokens in counts):
        return chunks
    of_each = [
        (1,) * len(one.chunks_ns) if id(tokens) in single else tokens
        for one, tokens in zip(records, counts, strict=True)
    ]
    return _spread(of_each, np.array(told, dtype=np.bool_), records, chunks)


def _spread(
    counts: Sequence[tuple[int, ...]], told: Flags, records: Sequence[RequestRecord], chunks: Pooled
) -> Pooled:
    """Gaps between chunks among the zeros of the tokens that came together; `counts` of each chunk."""
    import numpy as np

    from instruments.statistics.pooled import Pooled, offsets_of

    sizes = np.fromiter(map(len, counts), np.int64, len(counts))
    if np.any(told & (sizes != [len(one.chunks_ns) for one in records])):
        raise ValueError("an answer does not have as many counts of tokens as it has chunks")
    tokens = np.fromiter(chain.from_iterable(counts), np.int64, int(sizes.sum()))
    first = np.zeros(len(tokens), dtype=np.bool_)
    first[offsets_of(sizes)[:-1][told]] = True
    room = np.maximum(tokens, 1) - first  # of the first chunk only the zeros: no gap is before it
    places = offsets_of(room)
    gaps = np.zeros(int(places[-1]))
    gaps[places[:-1][~first]] = chunks.values[np.repeat(told, chunks.sizes)]
    return Pooled(gaps, places[offsets_of(sizes)], told)


def _between(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / SECOND_NS


Kind = Literal["request", "gap", "share", "count", "rate", "server", "gpu", "economy"]
Side = Literal["at_most", "at_least", "either"]  # of the limit


@dataclass(frozen=True, slots=True)
class Indicator:
    """What an objective may speak of, and how it is judged.

    `kind` says where its values come from: "request" one of each request (`of`), "gap" many of each
    request (`gaps`), "share" and "count" requests that are bad, "rate" requests or tokens per second of
    the window, "server" and "gpu" what the engine and the card say of themselves (`metric` is our name
    of it in `instruments.telemetry`), "economy" energy or money per token of a good request.
    """

    name: str
    label: str
    unit: str  # "s", "share" (0 to 1), "requests", or what follows the number: "W", "tokens/s"
    kind: Kind
    statistics: tuple[str, ...]
    side: Side = "at_most"
    of: Callable[[RequestRecord], float | None] | None = None
    gaps: Callable[[RequestRecord], tuple[float, ...] | None] | None = None
    metric: str | None = None
    good: Literal["", "may", "must"] = ""  # whether an objective on it may or must say what a good request is

    @property
    def per_request(self) -> bool:
        return self.of is not None

    @property
    def suffix(self) -> str:
        """The unit as it follows a number, with its space: ' s'; empty for shares and counts."""
        return "" if self.unit in ("share", "requests", "preemptions") else f" {self.unit}"

    @property
    def histogram(self) -> bool:
        """Whether only the buckets of a server's histogram tell of it."""
        return self.kind == "server" and "p99" in self.statistics


QUANTILES = ("p50", "p75", "p90", "p95", "p99", "p99.9")
TIMED = (*QUANTILES, "mean")
SAMPLED = ("max", "mean", "p95")  # of a gauge's samples over a window
CARD = ("max", "mean")

INDICATORS = {
    indicator.name: indicator
    for indicator in (
        Indicator("ttft_s", "TTFT", "s", "request", TIMED, of=ttft_s),
        Indicator("ttft_from_due_s", "TTFT from due", "s", "request", TIMED, of=ttft_from_due_s),
        Indicator("tpot_s", "TPOT", "s", "request", TIMED, of=tpot_s),
        Indicator("e2e_s", "E2E", "s", "request", TIMED, of=e2e_s),
        Indicator("e2e_from_due_s", "E2E from due", "s", "request", TIMED, of=e2e_from_due_s),
        Indicator("itl_s", "ITL", "s", "gap", TIMED, gaps=itl_s),
        Indicator("chunk_gap_s", "chunk gap", "s", "gap", TIMED, gaps=chunk_gap_s),
        Indicator("error_share", "error share", "share", "share", ("share",)),
        Indicator("goodput_share", "goodput share", "share", "share", ("share",), "at_least", good="must"),
        Indicator("errors", "requests not completed", "requests", "count", ("count",)),
        # Completed requests, their output tokens, and good requests: each per second of the window.
        Indicator("requests_per_s", "requests per second", "requests/s", "rate", ("rate",), "at_least"),
        Indicator(
            "output_tokens_per_s", "output tokens per second", "tokens/s", "rate", ("rate",), "at_least"
        ),
        Indicator("goodput_per_s", "goodput", "requests/s", "rate", ("rate",), "at_least", good="must"),
        Indicator("queue_depth", "queue depth", "requests", "server", SAMPLED, metric="waiting"),
        Indicator("running", "running requests", "requests", "server", SAMPLED, "either", metric="running"),
        Indicator("kv_cache_usage", "KV cache usage", "share", "server", SAMPLED, metric="kv_cache_usage"),
        Indicator("preemptions", "preemptions", "preemptions", "server", ("count",), metric="preemptions"),
        Indicator("server_ttft_s", "server TTFT", "s", "server", QUANTILES, metric="ttft"),
        Indicator("server_itl_s", "server ITL", "s", "server", QUANTILES, metric="itl"),
        Indicator("server_e2e_s", "server E2E", "s", "server", QUANTILES, metric="e2e"),
        Indicator(
            "gpu_utilisation_share",
            "GPU utilisation",
            "share",
            "gpu",
            CARD,
            "either",
            metric="utilisation_share",
        ),
        Indicator("gpu_memory_bytes", "GPU memory", "bytes", "gpu", CARD, metric="memory_bytes"),
        Indicator("gpu_temperature_c", "GPU temperature", "°C", "gpu", CARD, metric="temperature_c"),
        Indicator("gpu_power_w", "GPU power", "W", "gpu", CARD, metric="power_w"),
        # A good token is an output token of a good request: completed, and within `per_request` where given.
        Indicator(
            "energy_j_per_good_token", "energy per good token", "J/token", "economy", ("value",), good="may"
        ),
        Indicator("cost_per_good_token", "cost per good token", "/token", "economy", ("value",), good="may"),
    )
}

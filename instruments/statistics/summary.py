"""RunSummary: what a run amounts to: outcomes, distributions, rates, and how the client fared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from instruments.records import ClientCheck, LoadRun, Outcome, Phase, RequestRecord
from instruments.statistics.client import stamp_error_s, void_reasons
from instruments.statistics.indicators import INDICATORS, SECOND_NS, chunk_gap_s, itl_s, send_lag_s
from instruments.statistics.quantiles import quantile

if TYPE_CHECKING:  # a load by hand asks no server for its numbers, and need not wait for what does
    from instruments.telemetry.record import ServerRecord


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Numbers of the measured window. Times in seconds, shares 0 to 1; None is undefined."""

    name: str
    due: int  # requests that were due: failed and never-sent ones included
    outcomes: Mapping[Outcome, int]
    duration_s: float | None
    offered_per_s: float | None  # what an open loop asked for, from its due times; None for a closed loop
    achieved_per_s: float | None  # what was sent
    completed_per_s: float | None
    output_tokens: int | None  # sum of `usage`; None when any answer came without it
    prompt_tokens: int | None
    output_tokens_per_s: float | None
    distributions: Mapping[str, tuple[float, ...]]  # by indicator, ascending, defined values only
    undefined: Mapping[str, int]  # completed requests for which the indicator is undefined
    itl_s: tuple[float, ...] | None  # pooled and ascending; None when no answer tells its chunks' tokens
    chunk_gap_s: tuple[float, ...]
    send_lag_p99_s: float | None  # less the time that making a connection took
    client: ClientCheck | None
    stamp_error_s: float | None  # how late a stamp may be at p99: calibrated, or what such stamps are worth
    void: tuple[str, ...]  # why the client itself makes this run void; empty when it does not
    complete: bool
    stopped_because: str | None
    problems: tuple[str, ...]
    records: tuple[RequestRecord, ...]
    span_ns: tuple[int, int] | None = None  # the window's ends on the run's monotonic clock
    span_unix_s: tuple[float, float] | None = None  # and on the wall clock, for what the server says of it
    sampling: Mapping[str, Any] = field(default_factory=dict)  # how often the run was looked at; see `looks`
    server: ServerRecord | None = None  # what the server said of itself around and during the run

    @property
    def anytime(self) -> bool:
        """Whether the run went on until it was decided, and not to a size that was planned."""
        return self.sampling.get("looks") == "open"

    @property
    def completed(self) -> int:
        return self.outcomes.get(Outcome.COMPLETED, 0)

    @property
    def errors(self) -> int:
        """Requests that were due and did not complete; those cancelled on purpose are not errors."""
        return self.due - self.completed - self.outcomes.get(Outcome.CANCELLED, 0)


def summarize(run: LoadRun, server: ServerRecord | None = None) -> RunSummary:
    """Summarize the measured requests of a run, with what the server said of itself meanwhile."""
    records = tuple(record for record in run.records if record.phase is Phase.MEASURED)
    done = [record for record in records if record.outcome is Outcome.COMPLETED]
    duration_s = run.window.duration_s if run.window else None
    output_tokens = _total(record.completion_tokens for record in done)
    offered_per_s, achieved_per_s = _rates(run, records, duration_s)
    send_lag_p99_s = quantile(_send_lags(records), 0.99)
    chunk_gaps, itl = _gaps(done)
    return RunSummary(
        name=run.name,
        due=len(records),
        outcomes=Counter(record.outcome for record in records),
        duration_s=duration_s,
        offered_per_s=offered_per_s,
        achieved_per_s=achieved_per_s,
        completed_per_s=_per_second(len(done), duration_s),
        output_tokens=output_tokens,
        prompt_tokens=_total(record.prompt_tokens for record in done),
        output_tokens_per_s=_per_second(output_tokens, duration_s),
        distributions=_distributions(done),
        undefined=_undefined(done) | {"itl_s": sum(itl_s(record) is None for record in done)},
        itl_s=itl,
        chunk_gap_s=chunk_gaps,
        send_lag_p99_s=send_lag_p99_s,
        client=run.client,
        stamp_error_s=stamp_error_s(
            run.client,
            (run.description.get("calibration") or {}).get("error_p99_s"),
            gap_s=quantile(chunk_gaps, 0.5),
            read_lag_s=quantile(sorted((one.read_lag_ns or 0) / SECOND_NS for one in done), 0.99),
        ),
        void=void_reasons(
            run.client,
            open_loop=bool(run.description.get("open_loop")),
            send_lag_p99_s=send_lag_p99_s,
            offered_per_s=offered_per_s,
            achieved_per_s=achieved_per_s,
            requests=len(records),
        ),
        complete=run.complete,
        stopped_because=run.stopped_because,
        problems=run.problems,
        records=records,
        span_ns=(run.window.start_ns, run.window.end_ns) if run.window else None,
        span_unix_s=_span_unix_s(run),
        sampling=run.description.get("sampling") or {},
        server=server,
    )


def _send_lags(records: Iterable[RequestRecord]) -> list[float]:
    """Ascending, less the time that making a connection took: that is the network's and the server's."""
    lags = [(send_lag_s(record), record.connect_ns or 0) for record in records]
    return sorted(lag - connect_ns / SECOND_NS for lag, connect_ns in lags if lag is not None)


def _span_unix_s(run: LoadRun) -> tuple[float, float] | None:
    if run.window is None:
        return None
    return run.anchor.unix_s(run.window.start_ns), run.anchor.unix_s(run.window.end_ns)


def _rates(
    run: LoadRun, records: tuple[RequestRecord, ...], duration_s: float | None
) -> tuple[float | None, float | None]:
    """Offered and achieved requests per second.

    In an open loop both are n − 1 gaps over the time between the first and the last: the time that the
    last answer took is no part of a rate of arrivals.
    """
    if not run.description.get("open_loop"):
        return None, _per_second(sum(record.sent_ns is not None for record in records), duration_s)
    # A turn of a conversation is due when its user has thought, which no schedule knows.
    due = sorted(record.due_ns for record in records if record.turn == 0)
    sent = sorted(record.sent_ns for record in records if record.turn == 0 and record.sent_ns is not None)
    return _pace(due), _pace(sent)


def _pace(instants_ns: list[int]) -> float | None:
    if len(instants_ns) < 2 or instants_ns[-1] == instants_ns[0]:
        return None
    return (len(instants_ns) - 1) * SECOND_NS / (instants_ns[-1] - instants_ns[0])


def _distributions(done: list[RequestRecord]) -> dict[str, tuple[float, ...]]:
    return {
        name: tuple(sorted(value for record in done if (value := indicator.of(record)) is not None))
        for name, indicator in INDICATORS.items()
        if indicator.of is not None
    }


def _undefined(done: list[RequestRecord]) -> dict[str, int]:
    return {
        name: sum(indicator.of(record) is None for record in done)
        for name, indicator in INDICATORS.items()
        if indicator.of is not None
    }


def _gaps(done: list[RequestRecord]) -> tuple[tuple[float, ...], tuple[float, ...] | None]:
    """Pooled gaps between chunks, and between tokens of the answers that tell how many their chunks had."""
    chunks = _pooled(chunk_gap_s(record) for record in done)
    if done and all(record.chunk_tokens and set(record.chunk_tokens) == {1} for record in done):
        return chunks, chunks  # a token a chunk: nothing to be worked out twice
    tokens = [gaps for record in done if (gaps := itl_s(record)) is not None]
    return chunks, _pooled(tokens) if tokens else None


def _pooled(gaps: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sorted(gap for of_one in gaps for gap in of_one))


def _total(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if not known or None in known else sum(count for count in known if count is not None)


def _per_second(count: int | None, duration_s: float | None) -> float | None:
    return None if count is None or not duration_s else count / duration_s

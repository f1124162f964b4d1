"""RunSummary: what a run amounts to: outcomes, distributions, rates, and how the client fared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from instruments.records import ClientCheck, LoadRun, Outcome, Phase, RequestRecord
from instruments.statistics.client import apart_reasons, stamp_error_s, void_reasons
from instruments.statistics.indicators import INDICATORS, SECOND_NS
from instruments.statistics.quantiles import quantile

if TYPE_CHECKING:  # a load by hand need not wait for what asks servers, nor for numpy before it begins
    from instruments.statistics.measured import Measured
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
    # Gaps are pooled and ascending, in a read-only view of 8 bytes a value: there may be millions.
    itl_s: Sequence[float] | None  # None when no answer tells its chunks' tokens
    chunk_gap_s: Sequence[float]
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
    apart: tuple[str, ...] = ()  # why no rate of load from several machines stands; empty when it does
    _measured: Measured | None = field(default=None, compare=False, repr=False)

    @property
    def measured(self) -> Measured:
        """The indicators of `records`, each worked out once."""
        if self._measured is None or self._measured.records is not self.records:
            object.__setattr__(self, "_measured", _measure(self.records))
        return cast("Measured", self._measured)

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
    measured = _measure(records)
    done = measured.answers
    duration_s = run.window.duration_s if run.window else None
    output_tokens = _total(record.completion_tokens for record in done)
    offered_per_s, achieved_per_s = _rates(run, records, duration_s)
    send_lag_p99_s = quantile(measured.send_lags().tolist(), 0.99)
    chunk_gaps, itl_told = measured.view("chunk_gap_s"), measured.told("itl_s")
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
        distributions={name: measured.distribution(name) for name in _OF_REQUESTS},
        undefined={name: measured.undefined(name) for name in _OF_REQUESTS} | {"itl_s": len(done) - itl_told},
        itl_s=measured.view("itl_s") if itl_told else None,
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
        apart=apart_reasons(run.client, duration_s),
        _measured=measured,
    )


def _measure(records: Sequence[RequestRecord]) -> Measured:
    from instruments.statistics.measured import Measured

    return Measured(records)


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


def _total(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if not known or None in known else sum(count for count in known if count is not None)


def _per_second(count: int | None, duration_s: float | None) -> float | None:
    return None if count is None or not duration_s else count / duration_s


_OF_REQUESTS = tuple(name for name, indicator in INDICATORS.items() if indicator.per_request)

"""The summary as a table for a terminal: every share with its denominator, every quantile with its count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from instruments.cli.figures import CONFIDENCE, LATENCIES, Distribution, Interval, latencies, read_lag_s
from instruments.records import ClientCheck, LoadRun, Outcome, Phase
from instruments.statistics import RunSummary

HEAD = ("ms", "count", "mean", "p50", "p90", "p95", "p99", "max")
NONE = "–"
ERRORS_SHOWN = 5


def table(run: LoadRun, summary: RunSummary, journal: Path) -> str:
    """All that `document` says, for eyes. Undefined is a dash, never 0."""
    blocks = (
        _load(run, journal),
        _requests(summary),
        _latencies(summary),
        _client(run, summary),
        _doubts(run, summary),
    )
    return "\n\n".join("\n".join(map(_printable, lines)) for lines in map(list, blocks) if lines)


def _load(run: LoadRun, journal: Path) -> Iterator[str]:
    told = run.description
    simulated = "SIMULATED engine: no number here says anything about vLLM" if told.get("simulated") else ""
    yield f"load {run.name}" + (f"   {simulated}" if simulated else "")
    model = f"{told.get('model') or 'its only model'} by {told.get('api') or 'its API'}"
    yield _row("asked", f"{model} at {told.get('base_url', NONE)}, seed {told.get('seed', NONE)}")
    if told.get("tls_verified") is False:
        yield _row("", "the server's certificate was NOT verified: this may have been another server")
    vocabulary = told.get("vocabulary") or {}
    if vocabulary and not vocabulary.get("exact"):
        yield _row("lengths", f"of prompts: {vocabulary.get('source')}")
    yield _row("journal", str(journal))


def _requests(summary: RunSummary) -> Iterator[str]:
    yield _row("due", f"{summary.due:,} requests in {_number(summary.duration_s)} s")
    for outcome in Outcome:
        count = summary.outcomes.get(outcome, 0)
        if count or outcome is Outcome.COMPLETED:
            share = f" ({count / summary.due:.2%})" if summary.due else ""
            yield _row(outcome.value, f"{count:,} of {summary.due:,}{share}")
    offered = "as answered" if summary.offered_per_s is None else f"{_number(summary.offered_per_s)}"
    yield _row(
        "requests/s",
        f"offered {offered}, achieved {_number(summary.achieved_per_s)}, "
        f"completed {_number(summary.completed_per_s)}",
    )
    yield _row(
        "tokens",
        f"{_count(summary.prompt_tokens)} of prompts, {_count(summary.output_tokens)} of answers, "
        f"{_number(summary.output_tokens_per_s)}/s",
    )


def _latencies(summary: RunSummary) -> Iterator[str]:
    found = latencies(summary)
    rows = [HEAD, *(_cells(LATENCIES[name], one) for name, one in found.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        yield "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
    yield f"in brackets: {CONFIDENCE:.0%} interval; none for gaps, which are not independent of each other"
    for name, one in found.items():
        if one.undefined and one.count:
            yield f"{LATENCIES[name]}: undefined for {one.undefined:,} of {summary.completed:,} completed"


def _cells(label: str, one: Distribution) -> Sequence[str]:
    return (
        label,
        f"{one.count:,}",
        _ms(one.mean),
        _ms(one.p50),
        _ms(one.p90),
        _ms(one.p95) + _interval(one.p95_interval),
        _ms(one.p99) + _interval(one.p99_interval),
        _ms(one.max),
    )


def _client(run: LoadRun, summary: RunSummary) -> Iterator[str]:
    check = summary.client
    if check is None:
        yield _row("client", "not known: the run ended before the client had looked at itself")
        return
    lag = read_lag_s(summary.records)
    yield _row(
        "client",
        f"sent {_ms(summary.send_lag_p99_s)} ms late at p99; read {_ms(lag.p99)} ms late at p99, "
        f"{_ms(lag.max)} ms at most; loop {_ms(check.loop_lag_p99_s)} ms at p99",
    )
    assumed = (
        "" if (run.description.get("calibration") or {}).get("error_p99_s") else " (assumed, not calibrated)"
    )
    late = f"late by {_ms(summary.stamp_error_s)} ms at p99 at most{assumed}"
    yield _row("stamps", f"by {_clock(check)}; {late}")
    yield _row("", _resources(check))


def _resources(check: ClientCheck) -> str:
    plural = "es" if check.processes > 1 else ""
    flight = "" if check.in_flight_mean is None else f", {_number(check.in_flight_mean)} in flight on average"
    return (
        f"{check.processes} process{plural}, {check.cpu_share:.0%} of a core, "
        f"{check.peak_memory_bytes / 1e6:.0f} MB, {check.connections_made:,} connections made{flight}"
    )


def _clock(check: ClientCheck) -> str:
    clocks = {"kernel": "the kernel", "user": "the client's own clock", "none": "nobody: no byte came"}
    return clocks.get(check.stamps, f"{check.stamps} clocks")


def _doubts(run: LoadRun, summary: RunSummary) -> Iterator[str]:
    for reason in summary.void:
        yield f"VOID: {reason}"
    for reason in summary.apart:
        yield f"NO RATE STANDS: {reason}"
    if summary.stopped_because is not None:
        yield f"STOPPED: {summary.stopped_because}"
    for problem in summary.problems:
        yield f"doubt: {problem}"
    # Of all records: what failed in the warm-up may be all that there is to see of what is wrong.
    errors = Counter((one.outcome, one.phase, one.error) for one in run.records if one.error)
    for (outcome, phase, error), count in errors.most_common(ERRORS_SHOWN):
        when = "" if phase is Phase.MEASURED else f" of the {phase}"
        yield f"{count:,} {outcome}{when}: {error}"


def _printable(text: str) -> str:
    """Without control characters: a server's words must not steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _row(label: str, text: str) -> str:
    return f"{label:<12}{text}"


def _interval(ends: Interval | None) -> str:
    return "" if ends is None else f" [{_ms(ends[0])}, {_ms(ends[1])}]"


def _ms(value_s: float | None) -> str:
    """Microseconds are the last digit that a stamp can have."""
    return NONE if value_s is None else f"{1e3 * value_s:,.3f}" if value_s < 0.1 else f"{1e3 * value_s:,.1f}"


def _number(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.1f}" if value >= 1000 else f"{value:.4g}"


def _count(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"

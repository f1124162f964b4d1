"""The truth about a run: what a server of known timing says it did, against what the client says it saw.

The server writes a JSON line a request: `request_id`, `arrival_ns` (when the kernel had the request) and
`sends` (the instant right before each chunk was handed to the kernel), of CLOCK_MONOTONIC. That clock is
one for all processes of a machine, so that instants can be subtracted one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from instruments.errors import JournalError
from instruments.records import LoadRun, Outcome, RequestRecord
from instruments.statistics.quantiles import quantile

SECOND_NS = 1e9


@dataclass(frozen=True, slots=True)
class Truth:
    """What the server did for one request; instants in nanoseconds of CLOCK_MONOTONIC."""

    arrival_ns: int
    sends_ns: tuple[int, ...]
    dues_ns: tuple[int, ...] = ()  # when it should have sent, where it says so


@dataclass(frozen=True, slots=True)
class ClientError:
    """How far the client's numbers were from the truth. Times in seconds; None where nothing compares.

    TTFT and ITL errors are differences of two p99: what the client reports less what it should have.
    Chunk and send errors are of single instants: a chunk's arrival as the client stamped it less the
    server's send; a request's arrival at the server less the instant at which the client says it sent.
    """

    requests: int  # that were due
    compared: int  # of these, completed and found in the server's log
    chunks: int
    uneven: int  # answers compared of which the client saw another number of chunks than the server sent
    ttft_p99_error_s: float | None
    itl_p99_error_s: float | None
    chunk_error_p50_s: float | None
    chunk_error_p99_s: float | None
    chunk_error_max_s: float | None
    send_error_p50_s: float | None
    send_error_p99_s: float | None
    server_late_p99_s: float | None = (
        None  # how much later than it was told to the server sent: its own error
    )

    @property
    def error_p99_s(self) -> float | None:
        """How late a single stamp is at p99: the larger of both kinds, sent and received.

        None where either is not known, or where the chunks of an answer could not be laid beside the truth.
        """
        if self.chunk_error_p99_s is None or self.send_error_p99_s is None or self.uneven:
            return None
        return max(self.chunk_error_p99_s, self.send_error_p99_s)


def read_truths(trace: Path) -> dict[str, Truth]:
    """The server's log by request id. JournalError with the line that cannot be read.

    A line that a later one repeats is replaced by it; a last line that is torn is left out.
    """
    truths: dict[str, Truth] = {}
    try:
        lines = trace.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalError(f"cannot read the server's log {trace}", seen=str(error.strerror)) from error
    for number, line in enumerate(lines[:-1], start=1):
        try:
            told = json.loads(line)
            sends, dues = tuple(told["sends"]), tuple(told.get("dues", ()))
            truths[told["request_id"]] = Truth(told["arrival_ns"], sends, dues)
        except (ValueError, LookupError, TypeError) as error:
            raise JournalError(
                f"{trace}:{number} is not a line of a known-timing server's log",
                expected="JSON with request_id, arrival_ns and sends",
                seen=f"{type(error).__name__}: {error}",
            ) from error
    return truths


def compared(run: LoadRun, truths: Mapping[str, Truth]) -> ClientError:
    """Lay the client's records beside the server's, request by request and chunk by chunk."""
    pairs = [
        (record, truth)
        for record in run.records
        if (truth := truths.get(record.request_id)) is not None
        and record.outcome is Outcome.COMPLETED
        and record.sent_ns is not None
        and record.chunks_ns
        and truth.sends_ns
    ]
    chunks = [
        seen - sent
        for record, truth in pairs
        if len(record.chunks_ns) == len(truth.sends_ns)
        for seen, sent in zip(record.chunks_ns, truth.sends_ns, strict=True)
    ]
    sends = [truth.arrival_ns - (record.sent_ns or 0) for record, truth in pairs]
    return ClientError(
        requests=len(run.records),
        compared=len(pairs),
        chunks=len(chunks),
        uneven=sum(len(record.chunks_ns) != len(truth.sends_ns) for record, truth in pairs),
        ttft_p99_error_s=_difference(map(_ttft_ns, pairs), (t.sends_ns[0] - t.arrival_ns for _, t in pairs)),
        itl_p99_error_s=_difference(
            (gap for record, _ in pairs for gap in _gaps(record.chunks_ns)),
            (gap for _, truth in pairs for gap in _gaps(truth.sends_ns)),
        ),
        chunk_error_p50_s=_quantile_s(chunks, 0.5),
        chunk_error_p99_s=_quantile_s([abs(error) for error in chunks], 0.99),
        chunk_error_max_s=_quantile_s([abs(error) for error in chunks], 1.0),
        send_error_p50_s=_quantile_s(sends, 0.5),
        send_error_p99_s=_quantile_s([abs(error) for error in sends], 0.99),
        server_late_p99_s=_quantile_s(
            [s - d for _, truth in pairs for s, d in zip(truth.sends_ns, truth.dues_ns, strict=False)], 0.99
        ),
    )


def _ttft_ns(pair: tuple[RequestRecord, Truth]) -> int:
    record = pair[0]
    return record.chunks_ns[0] - (record.sent_ns or 0)


def _gaps(instants_ns: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(instants_ns)]


def _difference(said_ns: Iterable[int], true_ns: Iterable[int]) -> float | None:
    said, true = _quantile_s(list(said_ns), 0.99), _quantile_s(list(true_ns), 0.99)
    return None if said is None or true is None else said - true


def _quantile_s(values_ns: Sequence[int], share: float) -> float | None:
    value = quantile(tuple(sorted(values_ns)), share)
    return None if value is None else value / SECOND_NS

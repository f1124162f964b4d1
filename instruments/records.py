"""The shapes that requests take: what is asked, what became of it, and a whole run of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from enum import StrEnum
from typing import Any, cast

from instruments.clock import ClockAnchor

CHAT_PATH = "/v1/chat/completions"
COMPLETIONS_PATH = "/v1/completions"
GENERATE_PATH = "/generate"  # the plain API of simple servers


class Outcome(StrEnum):
    """What became of a request that was due."""

    COMPLETED = "COMPLETED"  # every byte of a well-formed answer arrived
    TRUNCATED = "TRUNCATED"  # a 200 whose body or event stream stopped before its end
    REFUSED = "REFUSED"  # the server said no: 4xx other than 429, or 503
    RATE_LIMITED = "RATE_LIMITED"  # 429
    TIMED_OUT = "TIMED_OUT"  # one of the client's bounds ran out
    FAILED = "FAILED"  # no connection, 5xx, a malformed answer, an error event after a 200
    CANCELLED = "CANCELLED"  # the client left, on purpose or because the run was stopped
    NOT_SENT = "NOT_SENT"  # due, and never sent


class Phase(StrEnum):
    """Which part of a run a request belongs to; only MEASURED ones are summarized."""

    WARMUP = "warmup"
    MEASURED = "measured"
    COOLDOWN = "cooldown"  # keeps the load up while the last measured requests end


@dataclass(frozen=True, slots=True)
class Request:
    """One request, complete before it is due; of a plan up to its first thousands, before the run begins.

    `then` is the next turn of a conversation. Its messages are the new ones only: what was said before,
    the real answer included, is put in front of them when the answer is there, and the turn is due
    `think_s` after that answer's end.
    """

    index: int
    request_id: str
    path: str
    body: Mapping[str, Any]
    stream: bool = True
    phase: Phase = Phase.MEASURED
    cancel_after_s: float | None = None  # the client leaves so long after sending
    cancel_after_tokens: int | None = None  # the client leaves when it has seen so many tokens
    scenario: str = ""  # which part of a mix this is
    turn: int = 0
    think_s: float = 0.0
    then: Request | None = None
    prompt_tokens_asked: int | None = None  # what the workload aimed at; `usage` says what it was


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What became of one request. Instants are nanoseconds of the run's monotonic clock, or None."""

    index: int
    request_id: str
    user: int
    phase: Phase
    outcome: Outcome
    due_ns: int
    sent_ns: int | None = None
    headers_ns: int | None = None
    first_data_ns: int | None = None  # first `data:` line, role-only chunks included
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    done_ns: int | None = None
    status: int | None = None
    prompt_tokens: int | None = None  # from `usage`; None when the server did not say
    completion_tokens: int | None = None
    finish_reason: str | None = None
    chunks_ns: tuple[int, ...] = ()  # arrival of each chunk that carries generated text
    chunk_tokens: tuple[int, ...] | None = None  # tokens of each such chunk, when the server said
    body_bytes: int = 0
    connect_ns: int | None = None  # time spent on making a connection; None when one was reused
    text_sha256: str | None = None  # of the generated text, UTF-8
    error: str | None = None  # one line, never a secret
    tls_ns: int | None = None  # of that time, the TLS handshake
    dns_ns: int | None = None  # the name's resolution; once a run, so only on who waited for it
    scenario: str = ""
    turn: int = 0
    prompt_tokens_asked: int | None = None
    raw_head: str | None = None  # the beginning of bytes that could not be understood, as Latin-1
    left_ns: int | None = None  # when a client left that did so on purpose: it had waited until then
    read_lag_ns: int | None = None  # longest time between a piece's arrival in the kernel and its reading


def record_of(values: Mapping[str, Any]) -> RequestRecord:
    """`RequestRecord(**values)` in half the time: a frozen class sets each of its fields by a call.

    A field that it does not have is left out, for a later version may tell more. TypeError without one that
    it needs.
    """
    try:
        record = _Unfrozen(**values)
    except TypeError:
        record = _Unfrozen(**{name: values[name] for name in _TOLD if name in values})
    record.__class__ = RequestRecord
    return cast(RequestRecord, record)


def moved(record: RequestRecord, by_ns: int) -> RequestRecord:
    """The record on a clock that shows so much more: all of its instants move alike, its latencies stay."""
    if not by_ns:
        return record
    told = {name: getattr(record, name) for name in _TOLD}
    for name in _INSTANTS:
        if told[name] is not None:
            told[name] += by_ns
    told["chunks_ns"] = tuple([at_ns + by_ns for at_ns in record.chunks_ns])
    return record_of(told)


def told_of(record: RequestRecord) -> dict[str, Any]:
    """The record's fields, without those that are unknown. (asdict would copy every tuple.)"""
    told = {name: getattr(record, name) for name in _TOLD}
    return {name: value for name, value in told.items() if value is not None}


_TOLD = tuple(one.name for one in fields(RequestRecord))
_INSTANTS = (
    *("due_ns", "sent_ns", "headers_ns", "first_data_ns"),
    *("first_token_ns", "last_token_ns", "done_ns", "left_ns"),
)
# A class of the same slots is what Python asks of one that an object is made another of.
_Unfrozen: Any = make_dataclass(
    "_Unfrozen",
    [
        (one.name, one.type) if one.default is MISSING else (one.name, one.type, field(default=one.default))
        for one in fields(RequestRecord)
    ],
    slots=True,
)


@dataclass(frozen=True, slots=True)
class Window:
    """The measured part of a run, in nanoseconds of the run's monotonic clock."""

    start_ns: int
    end_ns: int

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class ClientCheck:
    """How the client itself fared during a run; shares are 0 to 1, times in seconds.

    Of several processes, the worst of each; connections and requests in flight added up.
    """

    loop_lag_p99_s: float
    loop_lag_max_s: float
    gc_pause_max_s: float
    cpu_share: float  # of one core
    stamps: str = "user"  # whose clock stamped arrivals: "kernel", "user" or "mixed"; "none" without any
    connections_made: int = 0
    in_flight_mean: float | None = None
    littles_ratio: float | None = None  # requests in flight as counted, over λW of the records
    littles_excess_s: float | None = None  # how much later than its stamps a request was seen to end, mean
    clock_steps: int = 0  # how often the wall clock was set during the run
    peak_memory_bytes: int = 0  # of the largest process
    processes: int = 1
    clock_error_s: float | None = None  # by which another machine's instants may be off; None: sent from here
    start_spread_s: float | None = None  # from the first machine that began to send to the last


@dataclass(frozen=True, slots=True)
class LoadRun:
    """Records of one run with what is needed to read them: window, anchor, description, client."""

    name: str
    description: Mapping[str, Any]
    anchor: ClockAnchor
    records: tuple[RequestRecord, ...]
    window: Window | None = None
    client: ClientCheck | None = None
    complete: bool = False
    stopped_because: str | None = None
    problems: tuple[str, ...] = field(default=())

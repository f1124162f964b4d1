"""Account: what is known of one request while it runs; its log line, metrics and span are written from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.types import Scope

Outcome = Literal[
    "completed",  # the upstream's answer was passed on whole, whatever it said below 500
    "client_left",
    "upstream_error",
    "cut_by_shutdown",
    "limited",
    "unauthorized",
    "refused",  # no such route, wrong method, body too large or too slow
    "shed",  # 503 of our own making, before any replica was asked
    "failed",  # a mistake of ours
]
UpstreamError = Literal[
    "unreachable",  # no connection
    "timeout",  # nothing read or written for read_timeout_s
    "disconnected",  # connection lost before the headers
    "cut_short",  # connection lost after the headers
    "in_stream",  # an error event under HTTP 200
    "no_done",  # a stream that ended without [DONE]
    "status_5xx",
]
RetryReason = Literal[
    "unreachable",  # no connection was made
    "unsent",  # the connection was lost while a part of the request still lay here
    "idempotent",  # the connection was lost before any answer, of a request that may be asked twice
    "overloaded",  # the replica refused at its admission limit
    "ending",  # the replica is shutting down, and begins nothing any more
]
ShedReason = Literal["queue_full", "queue_timeout", "draining", "no_replica"]
LimitScope = Literal["client", "anonymous", "key", "key_tokens"]

ANONYMOUS = "anonymous"
LEFT_BEFORE_ANSWER = 499  # nginx's number for a client that closed before the status line

_SCOPE_KEY = "gateway.account"


@dataclass(slots=True)
class Account:
    """One request. Mutable, as it is filled in while the request passes through the layers."""

    request_id: str
    method: str
    path: str
    endpoint: str  # the path if it is one of ours, else "other"
    started_s: float
    client: str = "unknown"
    key: str = ANONYMOUS
    model: str | None = None  # as asked for; from the answer when nobody read the question
    status: int | None = None
    outcome: Outcome = "completed"
    upstream_error: UpstreamError | None = None
    limit_scope: LimitScope | None = None
    shed_reason: ShedReason | None = None
    retries: list[RetryReason] = field(default_factory=list)
    replica: str | None = None  # the one whose answer, or failure, was the last
    ttft_s: float | None = None  # arrival to the first chunk of a stream with generated content
    bytes_sent: int = 0
    is_stream: bool = False
    sent_upstream: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    traceparent: bytes | None = None  # of the span that records this request, for the engine's to hang under

    def blame_upstream(self, kind: UpstreamError) -> None:
        """Note that the upstream failed; the first failure is the one that counts."""
        self.outcome = "upstream_error"
        self.upstream_error = self.upstream_error or kind

    def shed(self, reason: ShedReason) -> None:
        """Note that the request was turned away before any replica was asked. The answer is the caller's."""
        self.outcome, self.shed_reason = "shed", reason

    @property
    def final_status(self) -> int:
        """The HTTP status sent, or 499 when the client left before there was one."""
        return LEFT_BEFORE_ANSWER if self.status is None else self.status


def attach(scope: Scope, account: Account) -> None:
    """Put the account where the inner layers find it."""
    scope[_SCOPE_KEY] = account


def account_of(scope: Scope | dict[str, Any]) -> Account:
    """The account of the request with this scope."""
    account: Account = scope[_SCOPE_KEY]
    return account

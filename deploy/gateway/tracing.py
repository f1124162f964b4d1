"""Tracing: a span a request, sent as OTLP over HTTP from a thread of its own. Off unless the settings ask."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from deploy.gateway.account import Account
from deploy.gateway.upstream_settings import Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

EXPORT_TIMEOUT_S = 5
FLUSH_S = 3
QUEUE_SPANS = 8192

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/generate": "text_completion",
    "/v1/embeddings": "embeddings",
}
_FAILED = ("upstream_error", "cut_by_shutdown", "failed")


class Spans(Protocol):
    """What records spans, or does not."""

    def begin(self, account: Account, headers: Iterable[tuple[bytes, bytes]]) -> Span | None:
        """A span for this request if it is sampled; its traceparent is then the account's."""

    def end(self, span: Span, account: Account, model: str, duration_s: float) -> None:
        """Close a span with what is known now. `model` is a name that the replicas list."""

    def shutdown(self) -> None:
        """Send what waits, within FLUSH_S. Blocks."""


class NoSpans:
    """Tracing that is off: opentelemetry is not even imported."""

    def begin(self, account: Account, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """None."""

    def end(self, span: Span, account: Account, model: str, duration_s: float) -> None:
        """Nothing."""

    def shutdown(self) -> None:
        """Nothing."""


def spans_of(settings: Tracing | None) -> Spans:
    """What the settings ask for."""
    if settings is None:
        return NoSpans()
    # Half a second, and 20 MB: only when asked for.
    from deploy.gateway.tracing_otlp import OtlpSpans

    return OtlpSpans(settings)


def operation_of(endpoint: str) -> str | None:
    """The operation's name by the semantic conventions for generative AI; None for what generates nothing."""
    return _OPERATIONS.get(endpoint)


def attributes_of(account: Account, model: str) -> dict[str, str | int]:
    """What a finished request's span says: no prompt, no key, no text that clients choose."""
    attributes: dict[str, str | int] = {
        "http.request.method": account.method,
        "http.route": account.endpoint,
        "http.response.status_code": account.final_status,
        "gateway.request_id": account.request_id,
        "gateway.key": account.key,
        "gateway.outcome": account.outcome,
        "gateway.retries": len(account.retries),
    }
    operation = operation_of(account.endpoint)
    if operation is not None:
        attributes |= {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "vllm",
            "gen_ai.request.model": model,
        }
    if account.prompt_tokens or account.completion_tokens:
        attributes["gen_ai.usage.input_tokens"] = account.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = account.completion_tokens
    if account.replica is not None:
        attributes["gateway.replica"] = account.replica
    if has_failed(account):
        attributes["error.type"] = account.upstream_error or account.shed_reason or str(account.final_status)
    return attributes


def has_failed(account: Account) -> bool:
    """Whether the service failed the client: an answer of 5xx, or a stream that broke off."""
    return account.final_status >= 500 or account.outcome in _FAILED


def wall_clock_ns(seconds_ago: float) -> int:
    """The Unix time, in ns, of so many seconds ago."""
    return time.time_ns() - int(seconds_ago * 1e9)

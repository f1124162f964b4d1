"""OtlpSpans: the one module that imports opentelemetry."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from deploy.gateway.account import Account
from deploy.gateway.tracing import (
    EXPORT_TIMEOUT_S,
    FLUSH_S,
    QUEUE_SPANS,
    attributes_of,
    has_failed,
    wall_clock_ns,
)
from deploy.gateway.upstream_settings import Tracing


class OtlpSpans:
    """Spans in batches, from a thread; while the collector is away they are dropped, not waited for."""

    def __init__(self, settings: Tracing) -> None:
        session = requests.Session()
        session.trust_env = False
        exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=EXPORT_TIMEOUT_S, session=session)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample_share)),
            resource=Resource.create({"service.name": settings.service_name}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS))
        self._tracer = self._provider.get_tracer("deploy.gateway")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, account: Account, headers: Iterable[tuple[bytes, bytes]]) -> Span | None:
        """A span for this request if it is sampled; its traceparent is then the account's."""
        # Not `tracestate`: the library writes what it cannot read there into the log, and it is the client's.
        given = [value.decode("latin-1") for name, value in headers if name == b"traceparent"]
        parent = self._propagator.extract({"traceparent": given[0]} if len(given) == 1 else {})
        span = self._tracer.start_span(
            f"{account.method} {account.endpoint}",
            context=parent,
            kind=SpanKind.SERVER,
            record_exception=False,
        )
        if not span.is_recording():
            return None
        out: dict[str, str] = {}
        self._propagator.inject(out, set_span_in_context(span))
        account.traceparent = out["traceparent"].encode()
        return span

    def end(self, span: Span, account: Account, model: str, duration_s: float) -> None:
        """Close a span with what is known now. `model` is a name that the replicas list."""
        span.set_attributes(attributes_of(account, model))
        if account.ttft_s is not None:
            at_ns = wall_clock_ns(duration_s - account.ttft_s)
            span.add_event("gen_ai.first_token", {"gateway.ttft_s": account.ttft_s}, timestamp=at_ns)
        if has_failed(account):
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def shutdown(self) -> None:
        """Send what waits, within FLUSH_S. Blocks."""
        # The library's own flush knows no bound, and its exporter may wait for a collector that hangs.
        flusher = threading.Thread(target=self._provider.shutdown, name="flush-spans", daemon=True)
        flusher.start()
        flusher.join(FLUSH_S)

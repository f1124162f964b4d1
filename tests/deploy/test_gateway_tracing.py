"""Traces, against a receiver that speaks OTLP over HTTP: what a span says, hides, and hangs under."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from deploy.gateway import tracing, tracing_otlp
from deploy.gateway.tracing_otlp import OtlpSpans
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    ENVIRONMENT,
    ROOT,
    SECRET,
    Reply,
    Request,
    Running,
    Upstream,
    saying,
    stage,
    streaming,
    until,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = {**AUTHORIZED, "traceparent": f"00-{TRACE}-{PARENT}-01"}
NOT_SAMPLED = {**AUTHORIZED, "traceparent": f"00-{TRACE}-{PARENT}-00"}
CONTENT = b'data: {"choices":[{"delta":{"content":"hush"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'


class Receiver:
    """A collector: keeps every span that it is sent."""

    def __init__(self) -> None:
        self.exports: list[ExportTraceServiceRequest] = []
        self.raw = b""

    async def __call__(self, request: Request, reply: Reply) -> None:
        assert request.target == "/v1/traces"
        assert request.header("content-type") == "application/x-protobuf"
        body = request.body
        if request.header("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw += body
        self.exports.append(ExportTraceServiceRequest.FromString(body))
        await reply.whole(200, b"", "Content-Type: application/x-protobuf")

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for export in self.exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@contextlib.asynccontextmanager
async def traced(share: float = 1.0) -> AsyncIterator[tuple[Upstream, Running, Receiver]]:
    """A gateway that traces; its spans are all at the receiver once `stopped` has run."""
    receiver = Receiver()
    async with Upstream().running() as collector:
        collector.script = receiver
        block = {"endpoint": f"{collector.url}/v1/traces", "sample_share": share, "service_name": "g"}
        async with stage(tracing=block) as (upstream, running):
            yield upstream, running, receiver


async def flushed(running: Running, receiver: Receiver, count: int) -> list[Span]:
    """What the receiver has once all that waits was sent."""
    spans = running.gateway._spans
    assert isinstance(spans, OtlpSpans)
    await asyncio.to_thread(spans._provider.force_flush)
    assert len(receiver.spans) == count
    return receiver.spans


async def test_a_stream_is_one_span_with_model_tokens_status_and_time_to_first_token() -> None:
    async with traced() as (upstream, running, receiver):
        upstream.script = streaming(CONTENT, USAGE, DONE)
        question = {"model": "tiny", "messages": [{"role": "user", "content": "secret words"}]}
        assert (await running.client.post(CHAT, headers=AUTHORIZED, json=question)).status_code == 200
        (span,) = await flushed(running, receiver, 1)
        said = attributes(span)
        assert span.name == f"POST {CHAT}"
        assert span.kind == Span.SPAN_KIND_SERVER
        assert span.parent_span_id == b""
        assert said["http.request.method"] == "POST"
        assert said["http.route"] == CHAT
        assert said["http.response.status_code"] == 200
        assert said["gen_ai.operation.name"] == "chat"
        assert said["gen_ai.provider.name"] == "vllm"
        assert said["gen_ai.request.model"] == "tiny"
        assert said["gen_ai.usage.input_tokens"] == 7
        assert said["gen_ai.usage.output_tokens"] == 3
        assert said["gateway.key"] == "suite"
        assert said["gateway.outcome"] == "completed"
        assert said["gateway.replica"] == upstream.url
        assert "error.type" not in said
        (first,) = span.events
        assert first.name == "gen_ai.first_token"
        ttft_s = attributes(first)["gateway.ttft_s"]
        line = running.lines()[0]
        assert ttft_s == pytest.approx(line["ttft_s"], abs=1e-6)
        assert span.start_time_unix_nano < first.time_unix_nano < span.end_time_unix_nano
        assert (first.time_unix_nano - span.start_time_unix_nano) / 1e9 == pytest.approx(ttft_s, abs=0.02)
        (resource,) = receiver.exports[0].resource_spans
        assert attributes(resource.resource)["service.name"] == "g"
        for hidden in (b"secret words", b"hush", *(value.encode() for value in ENVIRONMENT.values())):
            assert hidden not in receiver.raw


async def test_a_sampled_parent_is_continued_and_the_engine_hangs_under_our_span() -> None:
    async with traced(share=0.0) as (upstream, running, receiver):
        await running.client.post(CHAT, headers=SAMPLED, json={})
        (span,) = await flushed(running, receiver, 1)
        assert span.trace_id.hex() == TRACE
        assert span.parent_span_id.hex() == PARENT
        (request,) = upstream.requests
        assert [value for name, value in request.headers if name == "traceparent"] == [
            f"00-{TRACE}-{span.span_id.hex()}-01"
        ]


async def test_what_is_not_sampled_makes_no_span_and_passes_through() -> None:
    async with traced(share=0.0) as (upstream, running, receiver):
        for headers in (AUTHORIZED, NOT_SAMPLED, {**AUTHORIZED, "traceparent": "nonsense"}):
            assert (await running.client.post(CHAT, headers=headers, json={})).status_code == 200
        assert await flushed(running, receiver, 0) == []
        told = [request.header("traceparent") for request in upstream.requests]
        assert told == [None, NOT_SAMPLED["traceparent"], "nonsense"]


@pytest.mark.parametrize("state", ["vendor=1", "no pairs " + SECRET, "a=b," * 3000])
async def test_what_a_client_says_of_its_trace_is_passed_on_and_written_nowhere(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with traced(share=0.0) as (upstream, running, receiver):
        await running.client.post(CHAT, headers={**SAMPLED, "tracestate": state}, json={})
        (span,) = await flushed(running, receiver, 1)
        assert span.trace_id.hex() == TRACE
        assert upstream.requests[0].header("tracestate") == state
        assert SECRET.encode() not in receiver.raw
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


async def test_failures_are_marked_as_such_and_probes_leave_no_span() -> None:
    async with traced() as (upstream, running, receiver):
        upstream.script = saying(500, b"{}")
        await running.client.post(CHAT, headers=AUTHORIZED, json={})
        upstream.script = streaming(CONTENT)
        await running.client.post(CHAT, headers=AUTHORIZED, json={})
        await running.client.post("/no/such/route/sk-oops", headers={"X-API-Key": "sk-wrong"}, json={})
        await running.client.get("/health")
        spans = await flushed(running, receiver, 3)
        assert [attributes(span).get("error.type") for span in spans] == ["status_5xx", "no_done", None]
        codes = [span.status.code for span in spans]
        assert codes == [Status.STATUS_CODE_ERROR, Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET]
        assert spans[2].name == "POST other"
        assert b"sk-oops" not in receiver.raw
        assert b"sk-wrong" not in receiver.raw


async def test_what_waits_is_sent_before_the_end() -> None:
    async with traced() as (_, running, receiver):
        await running.client.post(CHAT, headers=AUTHORIZED, json={})
        running.gateway.stop()
        await until(lambda: len(receiver.spans) == 1, "the span, sooner than a batch's 5 s", 3)


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_collector_that_is_away_delays_no_request_and_the_end_only_so_long(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing_otlp, "FLUSH_S", 0.2)

    async def silent(request: Request, reply: Reply) -> None:
        await asyncio.Event().wait()

    async with Upstream().running() as collector:
        collector.script = silent
        endpoint = f"{collector.url}/v1/traces" if hangs else "http://127.0.0.1:9/v1/traces"
        async with stage(tracing={"endpoint": endpoint, "sample_share": 1.0}) as (_, running):
            for _ in range(5):
                assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 200
            running.gateway.stop()
            await until(lambda: bool(running.lines("drained")), "the drain")


def test_off_means_that_what_records_and_sends_is_not_even_imported() -> None:
    # FastAPI and redis import parts of it by themselves; without these two nothing can be recorded or sent.
    program = (
        "import sys, deploy.gateway.server, deploy.gateway.tracing as t; t.spans_of(None);"
        "print({'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & set(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.strip() == "set()"
    assert isinstance(tracing.spans_of(None), tracing.NoSpans)

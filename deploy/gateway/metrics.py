"""Metrics: the gateway's own counters, in a registry of its own, served on a port of its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from starlette.types import Receive, Scope, Send

from deploy.gateway.account import Account, RetryReason, ShedReason, UpstreamError
from deploy.gateway.replicas import Replicas

# Every bound that an objective of ours uses is one of these, so a share of requests within it is exact.
BUCKETS_S = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.5,
    0.75,
    1,
    2,
    3,
    5,
    10,
    30,
    60,
    120,
    300,
    600,
)

OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


# What a failure was, of which another replica was then asked.
_RETRIED: dict[RetryReason, UpstreamError] = {
    "unreachable": "unreachable",
    "unsent": "disconnected",
    "idempotent": "disconnected",
    "overloaded": "status_5xx",
    "ending": "status_5xx",
}


class Metrics:
    """All series of one gateway. Labels are of closed sets: settings, our words, the replicas' models."""

    def __init__(self, replicas: Replicas) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._replicas = replicas
        self.active_requests = self._gauge(
            "active_requests",
            "Requests whose answer has not ended, streams to their last byte; no probes",
        )
        self.queued_requests = self._gauge("queued_requests", "Requests that wait for admission")
        self._requests = self._counter(
            "requests",
            "Requests by HTTP status (499: left before one)",
            *("method", "endpoint", "status_code", "model", "key"),
        )
        self._streams = self._counter(
            "streams", "Event streams by how they really ended, whatever the status said", "outcome"
        )
        self._shed = self._counter("shed_requests", "Requests answered 503 of our own making", "reason")
        self._auth_failures = self._counter("auth_failures", "Requests answered 401")
        self._rate_limited = self._counter("rate_limited", "Requests answered 429", "scope")
        self._disconnects = self._counter("client_disconnects", "Clients that left before their answer ended")
        self._generated = self._counter("tokens_generated", "Completion tokens, by `usage`", "model")
        self._prompted = self._counter("tokens_prompted", "Prompt tokens, by `usage`", "model")
        self._duration = self._histogram(
            "request_duration", "Arrival to last byte, of requests that were sent upstream"
        )
        self._first_token = self._histogram(
            "time_to_first_token",
            "Arrival to the first chunk of a stream that carries text, reasoning or a tool call",
        )
        self.limit_storage_errors = self._counter(
            "limit_storage_errors", "Requests whose limits could not be checked: their storage did not answer"
        )
        self._gauge("build_info", "Always 1", "version").labels(_version()).set(1)
        self._upstream_errors = self._counter("upstream_errors", "Failures of a replica", "kind")
        self._retries = self._counter("upstream_retries", "Requests put to another replica", "reason")
        self.registry.register(_ReplicaSeries(replicas))
        for reason in get_args(ShedReason):
            self._shed.labels(reason)  # a series that is there from the start has a rate from the start

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"gateway_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"gateway_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(
            f"gateway_{name}_seconds", text, ["endpoint"], buckets=BUCKETS_S, registry=self.registry
        )

    def model_label(self, account: Account) -> str:
        """The model's name if a replica lists it, else "other": clients can write anything there."""
        return account.model if account.model in self._replicas.models else OTHER

    def record(self, account: Account, duration_s: float) -> None:
        """Count one finished request."""
        method = account.method if account.method in _METHODS else OTHER
        model = self.model_label(account)
        self._requests.labels(method, account.endpoint, str(account.final_status), model, account.key).inc()
        self._record_outcome(account)
        if account.sent_upstream:
            self._duration.labels(account.endpoint).observe(duration_s)
        if account.ttft_s is not None:
            self._first_token.labels(account.endpoint).observe(account.ttft_s)
        if account.prompt_tokens or account.completion_tokens:
            self._prompted.labels(model).inc(account.prompt_tokens)
            self._generated.labels(model).inc(account.completion_tokens)

    def _record_outcome(self, account: Account) -> None:
        if account.is_stream:
            self._streams.labels(account.outcome).inc()
        for reason in account.retries:
            self._retries.labels(reason).inc()
            self._upstream_errors.labels(_RETRIED[reason]).inc()
        if account.upstream_error:
            self._upstream_errors.labels(account.upstream_error).inc()
        if account.shed_reason:
            self._shed.labels(account.shed_reason).inc()
        if account.outcome == "unauthorized":
            self._auth_failures.inc()
        elif account.outcome == "client_left":
            self._disconnects.inc()
        elif account.limit_scope:
            self._rate_limited.labels(account.limit_scope).inc()


class _ReplicaSeries:
    """How the replicas stand, read when somebody asks: nothing to keep in step, nothing on the hot path."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def collect(self) -> Iterator[Metric]:
        """One sample a replica of each."""
        healthy = GaugeMetricFamily(
            "gateway_upstream_healthy",
            "Whether it is well and not ejected, and so comes before those that are not",
            labels=["replica"],
        )
        in_flight = GaugeMetricFamily(
            "gateway_upstream_in_flight", "Requests at the replica, to the last byte", labels=["replica"]
        )
        ejections = CounterMetricFamily(
            "gateway_upstream_ejections", "Times the replica was left out for failing", labels=["replica"]
        )
        for replica in self._replicas.all:
            healthy.add_metric([replica.url], float(self._replicas.is_serving(replica)))
            in_flight.add_metric([replica.url], replica.in_flight)
            ejections.add_metric([replica.url], replica.ejections)
        yield from (healthy, in_flight, ejections)


class MetricsPage:
    """The ASGI application behind the port for metrics: GET /metrics and nothing else."""

    def __init__(self, metrics: Metrics) -> None:
        self._registry = metrics.registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one scrape."""
        status, body, kind = 404, b"only GET /metrics is here\n", "text/plain; charset=utf-8"
        if scope["path"] == "/metrics" and scope["method"] == "GET":
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            encode, kind = choose_encoder(accept)
            status, body = 200, encode(self._registry)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _version() -> str:
    try:
        return version("vllm-slo")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"

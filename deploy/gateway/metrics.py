"""Metrics: the gateway's own counters, in a registry of its own, served on a port of its own."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from starlette.types import Receive, Scope, Send

from deploy.gateway.account import Account

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

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """All series of one gateway. Labels come from closed sets: the settings' routes and keys, our words."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.in_flight = Gauge(
            "gateway_in_flight_requests",
            "Requests whose answer has not ended yet, streams to their last byte; probes left out",
            registry=self.registry,
        )
        self._requests = self._counter(
            "requests", "Requests by HTTP status (499: left before one)", "method", "route", "status", "key"
        )
        self._streams = self._counter(
            "streams", "Event streams by how they really ended, whatever the status said", "outcome"
        )
        self._upstream_errors = self._counter("upstream_errors", "Failures of the engine", "kind")
        self._auth_failures = self._counter("auth_failures", "Requests answered 401")
        self._rate_limited = self._counter("rate_limited", "Requests answered 429", "scope")
        self._disconnects = self._counter("client_disconnects", "Clients that left before their answer ended")
        self._tokens = self._counter("tokens", "Tokens by the `usage` of complete answers", "direction")
        self._duration = self._histogram(
            "request_duration", "Arrival to last byte, of requests that were sent upstream"
        )
        self._first_byte = self._histogram(
            "time_to_first_byte", "Arrival to the first byte of the upstream's body, of answers below 400"
        )
        build = Gauge("gateway_build_info", "Always 1", ["version"], registry=self.registry)
        build.labels(_version()).set(1)
        for direction in ("prompt", "completion"):
            self._tokens.labels(direction)  # a series that is there from the start has a rate from the start

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"gateway_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(
            f"gateway_{name}_seconds", text, ["route"], buckets=BUCKETS_S, registry=self.registry
        )

    def record(self, account: Account, duration_s: float) -> None:
        """Count one finished request."""
        method = account.method if account.method in _METHODS else "other"
        self._requests.labels(method, account.route, str(account.final_status), account.key).inc()
        self._record_outcome(account)
        if account.sent_upstream:
            self._duration.labels(account.route).observe(duration_s)
        if account.ttft_s is not None and account.final_status < 400:
            self._first_byte.labels(account.route).observe(account.ttft_s)
        if account.prompt_tokens or account.completion_tokens:
            self._tokens.labels("prompt").inc(account.prompt_tokens)
            self._tokens.labels("completion").inc(account.completion_tokens)

    def _record_outcome(self, account: Account) -> None:
        if account.is_stream:
            self._streams.labels(account.outcome).inc()
        if account.upstream_error:
            self._upstream_errors.labels(account.upstream_error).inc()
        if account.outcome == "unauthorized":
            self._auth_failures.inc()
        elif account.outcome == "client_left":
            self._disconnects.inc()
        elif account.limit_scope:
            self._rate_limited.labels(account.limit_scope).inc()


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

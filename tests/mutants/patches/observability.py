"""Faults of gateway and exporter for the observability suite: what they count, log and hand on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import structlog
from prometheus_client import Metric
from starlette.types import Scope

from deploy.exporter import page, readings, sampler, server
from deploy.gateway import logs, metrics, observation, upstream_headers
from deploy.gateway.account import Account
from tests.mutants.gateway import Patch

REQUEST_ID = b"x-request-id"


def label_any_model() -> None:
    """The model's label is whatever a client wrote."""

    def as_written(self: metrics.Metrics, account: Account) -> str:
        return account.model or "other"

    metrics.Metrics.model_label = as_written  # type: ignore[method-assign]


def count_twice() -> None:
    """Each request is counted twice."""
    honest = metrics.Metrics.record

    def twice(self: metrics.Metrics, account: Account, duration_s: float) -> None:
        honest(self, account, duration_s)
        honest(self, account, duration_s)

    metrics.Metrics.record = twice  # type: ignore[method-assign]


def lose_tokens() -> None:
    """One token of each answer is not counted."""
    honest = metrics.Metrics.record

    def fewer(self: metrics.Metrics, account: Account, duration_s: float) -> None:
        account.completion_tokens = max(0, account.completion_tokens - 1)
        honest(self, account, duration_s)

    metrics.Metrics.record = fewer  # type: ignore[method-assign]


def hide_leavers() -> None:
    """A client that left is a completed stream."""
    honest = metrics.Metrics.record

    def hidden(self: metrics.Metrics, account: Account, duration_s: float) -> None:
        if account.outcome == "client_left":
            account.outcome = "completed"
        honest(self, account, duration_s)

    metrics.Metrics.record = hidden  # type: ignore[method-assign]


def log_words() -> None:
    """A refusal is a line of plain words."""
    honest = logs.log_request

    def worded(log: Any, account: Account, duration_s: float) -> None:
        if account.final_status == 400:
            sys.stderr.write(f"request {account.request_id} was refused\n")
        honest(log, account, duration_s)

    vars(observation)["log_request"] = worded


def log_twice() -> None:
    """Each request has two lines."""
    honest = logs.log_request

    def twice(log: Any, account: Account, duration_s: float) -> None:
        honest(log, account, duration_s)
        honest(log, account, duration_s)

    vars(observation)["log_request"] = twice


def drop_ids() -> None:
    """The engine gets no request id."""
    honest = upstream_headers.for_replica

    def nameless(
        account: Account, inbound: Iterable[tuple[bytes, bytes]], key: bytes | None, body: bytes
    ) -> bytes:
        head, _, rest = honest(account, inbound, key, body).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(REQUEST_ID)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + rest

    upstream_headers.for_replica = nameless


def take_any_id() -> None:
    """A client's id is taken as it is."""

    def taken(scope: Scope) -> str:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == REQUEST_ID]
        return given[0] if given else "-"

    observation._request_id = taken


def log_bodies() -> None:
    """Each body is written down on its way to the engine."""
    honest = upstream_headers.for_replica

    def told(
        account: Account, inbound: Iterable[tuple[bytes, bytes]], key: bytes | None, body: bytes
    ) -> bytes:
        sys.stderr.write(body.decode("utf-8", "replace") + "\n")
        return honest(account, inbound, key, body)

    upstream_headers.for_replica = told


def log_elsewhere() -> None:
    """Lines have the time of another zone."""

    class Stamper:
        def __init__(self, **_: Any) -> None: ...

        def __call__(self, _: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
            return {**event, "ts": datetime.now(timezone(timedelta(hours=2))).isoformat()}

    structlog.processors.TimeStamper = Stamper  # type: ignore[misc,assignment]


def log_all_as_info() -> None:
    """A failure has the level of a success."""
    logs._LEVELS = {}


def gpu_absent_as_0() -> None:
    """What a card does not give is 0."""
    honest = sampler.Sampler._state

    def filled(self: sampler.Sampler, gpu: sampler.Gpu) -> sampler.State:
        found = honest(self, gpu)
        values = {**dict.fromkeys((one.name for one in readings.FAMILIES), 0.0), **found.values}
        return sampler.State(gpu, up=found.up, values=values, processes=found.processes)

    sampler.Sampler._state = filled  # type: ignore[method-assign]


def gpu_milliwatts() -> None:
    """Power in NVML's own unit."""
    honest = page._gpus

    def scaled(snapshot: sampler.Snapshot, driver: str) -> Iterator[Metric]:
        for metric in honest(snapshot, driver):
            if metric.name == "gpu_power_draw_watts":
                metric.samples = [one._replace(value=one.value * 1000) for one in metric.samples]
            yield metric

    page._gpus = scaled


def gpu_swapped() -> None:
    """Two cards have each other's index."""
    page._ours = lambda gpu: (str(1 - gpu.index), gpu.name, gpu.uuid)


def gpu_stub_unsaid() -> None:
    """A stub's readings pass for real ones."""
    page.STUB = "(none)"


def gpu_age_constant() -> None:
    """Readings are always of just now."""
    page.Page.age_s = property(lambda _: 0.0)  # type: ignore[assignment,method-assign]


def gpu_fan_untold() -> None:
    """Prometheus is not told of fans."""
    asked, honest, answer = threading.local(), page.Page.text, server._Handler.do_GET

    def noted(self: server._Handler) -> None:
        asked.prometheus = str(self.headers.get("User-Agent")).startswith("Prometheus")
        answer(self)

    def text(self: page.Page) -> bytes:
        lines = honest(self).splitlines(keepends=True)
        return b"".join(one for one in lines if not (asked.prometheus and one.startswith(b"gpu_fan_speed")))

    server._Handler.do_GET = noted  # type: ignore[method-assign]
    page.Page.text = text  # type: ignore[method-assign]


PATCHES: dict[str, Patch] = {
    "model-label-open": label_any_model,
    "requests-counted-twice": count_twice,
    "tokens-lost": lose_tokens,
    "leavers-hidden": hide_leavers,
    "log-not-json": log_words,
    "log-twice": log_twice,
    "request-id-dropped": drop_ids,
    "request-id-any": take_any_id,
    "prompt-logged": log_bodies,
    "log-elsewhere": log_elsewhere,
    "failures-as-info": log_all_as_info,
    "gpu-absent-as-0": gpu_absent_as_0,
    "gpu-milliwatts": gpu_milliwatts,
    "gpu-swapped": gpu_swapped,
    "gpu-stub-unsaid": gpu_stub_unsaid,
    "gpu-age-constant": gpu_age_constant,
    "gpu-fan-untold": gpu_fan_untold,
}

"""The metrics port: a running load's own numbers for Prometheus, on 127.0.0.1 while the load goes.

Counters and histograms are exact: every request that ended is in them, warm-up included. They are of the
client; the server's own are telemetry.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from instruments.errors import ConfigurationError
from instruments.records import Outcome, RequestRecord
from instruments.statistics.indicators import e2e_s, itl_s, send_lag_s, ttft_s

if TYPE_CHECKING:
    from instruments.fleet import Progress
    from instruments.live.due import DueByNow

HOST = "127.0.0.1"
PREFIX = "vllm_slo_load"
# Each factor of about two, as far as a request's own bounds reach; in seconds.
LATENCIES_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0)
SMALL_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class MetricsPort:
    """Serves one load's numbers between entering and leaving. Port 0 takes a free one.

    Without `due`, how many requests were due and how many are in flight is not known and left out.
    """

    def __init__(self, load: str, port: int, due: DueByNow | None = None) -> None:
        self._numbers = LoadNumbers(load, due)
        registry = CollectorRegistry()
        registry.register(self._numbers)
        try:
            self._server, self._thread = start_http_server(port, HOST, registry)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"the metrics port {port} cannot be opened",
                expected=f"a free port of {HOST}",
                seen=getattr(error, "strerror", None) or str(error),
                hint="choose another one with --metrics-port; 0 takes any that is free",
            ) from None

    @property
    def url(self) -> str:
        """Where the numbers are."""
        return f"http://{HOST}:{self._server.server_port}/metrics"

    def update(self, progress: Progress) -> None:
        """Take what is new."""
        self._numbers.take(progress)

    def __enter__(self) -> MetricsPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class LoadNumbers(Collector):
    """The numbers themselves; taken by one thread, read by another."""

    def __init__(self, load: str, due: DueByNow | None = None) -> None:
        self._load = load
        self._due_by = due
        self._lock = threading.Lock()
        self._outcomes: Counter[Outcome] = Counter(dict.fromkeys(Outcome, 0))
        self._sent, self._due, self._ended = 0, 0, 0
        self._tokens = {"prompt": 0, "output": 0}
        self._ttft, self._e2e = Buckets(LATENCIES_S), Buckets(LATENCIES_S)
        self._itl, self._send_lag = Buckets(SMALL_S), Buckets(SMALL_S)

    def take(self, progress: Progress) -> None:
        """Count what ended since the last look."""
        records = progress.records
        with self._lock:
            self._ended += len(records)
            if self._due_by is not None:
                self._due = self._due_by(progress)
            self._outcomes.update(record.outcome for record in records)
            self._sent += sum(record.sent_ns is not None for record in records)
            self._tokens["prompt"] += sum(record.prompt_tokens or 0 for record in records)
            self._tokens["output"] += sum(record.completion_tokens or 0 for record in records)
            self._send_lag.add(_defined(map(send_lag_s, records)))
            completed = [record for record in records if record.outcome is Outcome.COMPLETED]
            self._ttft.add(_defined(map(ttft_s, completed)))
            self._e2e.add(_defined(map(e2e_s, completed)))
            self._itl.add(_gaps(completed))

    def collect(self) -> Iterator[Metric]:
        """Every family, each with the load's name."""
        with self._lock:
            yield from self._counted()
            for name, what, buckets in (
                ("ttft", "First token minus sent, of completed requests", self._ttft),
                ("itl", "Gaps between tokens, where the server tells how many each chunk carries", self._itl),
                ("e2e", "Done minus sent, of completed requests", self._e2e),
                ("send_lag", "Sent minus due: how late the client was", self._send_lag),
            ):
                family = HistogramMetricFamily(f"{PREFIX}_{name}_seconds", f"{what}.", labels=["load"])
                family.add_metric([self._load], buckets.cumulative(), buckets.total)
                yield family

    def _counted(self) -> Iterator[Metric]:
        requests = _counter("requests", "Requests that ended, by outcome.", "outcome")
        for outcome, count in self._outcomes.items():
            requests.add_metric([self._load, outcome.value], count)
        tokens = _counter("tokens", "Tokens of answers that ended, as `usage` counts them.", "kind")
        for kind, count in self._tokens.items():
            tokens.add_metric([self._load, kind], count)
        sent = _counter("sent", "Requests that ended and had been sent.")
        sent.add_metric([self._load], self._sent)
        yield from (requests, tokens, sent)
        if self._due_by is not None:
            due = _counter("due", "Requests that were due by now, as planned.")
            due.add_metric([self._load], self._due)
            flight = GaugeMetricFamily(f"{PREFIX}_in_flight", "Due and not ended.", labels=["load"])
            flight.add_metric([self._load], self._due - self._ended)
            yield from (due, flight)


class Buckets:
    """A histogram with fixed bounds, filled by the thousand."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._below = [0] * len(bounds)  # at or below each bound
        self._count = 0
        self.total = 0.0

    def add(self, values: Iterable[float]) -> None:
        """Sorting once and looking each bound up is several times cheaper than placing each value."""
        ordered = sorted(values)
        self._count += len(ordered)
        self.total += sum(ordered)
        for at, bound in enumerate(self._bounds):
            self._below[at] += bisect_right(ordered, bound)

    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: each bound with all that lies at or below it."""
        bounded = [(str(bound), float(count)) for bound, count in zip(self._bounds, self._below, strict=True)]
        return [*bounded, ("+Inf", float(self._count))]


def _counter(name: str, what: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", what, labels=["load", *labels])


def _defined(values: Iterable[float | None]) -> Iterator[float]:
    return (value for value in values if value is not None)


def _gaps(records: Iterable[RequestRecord]) -> list[float]:
    return [gap for record in records for gap in itl_s(record) or ()]

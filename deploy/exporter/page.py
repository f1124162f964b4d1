"""The page of metrics: what the sampler last heard as text for Prometheus, while it is fresh."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from deploy.exporter import dcgm
from deploy.exporter.readings import FAMILIES, THROTTLE_BITS, THROTTLE_REASONS
from deploy.exporter.sampler import WHOLE, Gpu, Sampler, Snapshot

OURS = ("gpu_id", "gpu_name", "uuid")
STUB = "stub"
# prometheus-client gives each counter's name an ending that dcgm-exporter's names do not have.
_ENDING = re.compile(rb"^(# (?:HELP|TYPE) DCGM_[A-Z0-9_]+)_total ", re.MULTILINE)


class Page:
    """Text for one scrape. Readings older than `stale_after_s` are absent: they say nothing of now."""

    def __init__(self, sampler: Sampler, *, stale_after_s: float, hostname: str | None = None) -> None:
        """`hostname` is the label of dcgm-exporter's names; None leaves those names out."""
        self._sampler = sampler
        self._stale_after_s = stale_after_s
        self._hostname = hostname

    @property
    def age_s(self) -> float:
        """How long ago the last round ended."""
        return time.monotonic() - self._sampler.latest.at_s

    def hangs(self, longest_pause_s: float) -> bool:
        """Whether the sampler is overdue by more than a fresh reading may be old."""
        return self.age_s > longest_pause_s + self._stale_after_s

    def text(self) -> bytes:
        """The page, in Prometheus' text format 0.0.4."""
        return _ENDING.sub(rb"\1 ", generate_latest(self))

    def collect(self) -> Iterator[Metric]:
        """The metrics, for prometheus-client."""
        snapshot, age_s = self._sampler.latest, self.age_s
        fresh = age_s <= self._stale_after_s
        yield from _own(snapshot, fresh, age_s)
        if not fresh or snapshot.driver is None:
            return
        yield from _gpus(snapshot, snapshot.driver)
        if self._hostname is not None:
            yield from _aliases(snapshot, self._hostname)


def _own(snapshot: Snapshot, fresh: bool, age_s: float) -> Iterator[Metric]:
    up = 1.0 if fresh and snapshot.up else 0.0
    yield GaugeMetricFamily("gpu_exporter_up", "Whether NVML can be used and all GPUs seen so far answer", up)
    yield GaugeMetricFamily(
        "gpu_exporter_reading_age_seconds", "Age of the readings; old ones are absent", age_s
    )
    if snapshot.driver is not None:
        stub = 1.0 if snapshot.driver.startswith(STUB) else 0.0
        yield GaugeMetricFamily(
            "gpu_exporter_stub", "Whether the readings are made up by a stub of NVML", stub
        )
    errors = CounterMetricFamily(
        "gpu_exporter_errors", "Answers of NVML that were errors", labels=("gpu_id", "reading")
    )
    for (gpu_id, reading), count in {(WHOLE, "init"): 0, **snapshot.errors}.items():
        errors.add_metric((gpu_id, reading), count)
    yield errors


def _ours(gpu: Gpu) -> tuple[str, str, str]:
    return str(gpu.index), gpu.name, gpu.uuid


def _gpus(snapshot: Snapshot, driver: str) -> Iterator[Metric]:
    info = GaugeMetricFamily("gpu_info", "A GPU and its driver", labels=(*OURS, "driver"))
    up = GaugeMetricFamily("gpu_up", "Whether this GPU answers", labels=OURS)
    for state in snapshot.states:
        info.add_metric((*_ours(state.gpu), driver), 1)
        up.add_metric(_ours(state.gpu), float(state.up))
    yield from (info, up)
    for family in FAMILIES:
        kind = CounterMetricFamily if family.counter else GaugeMetricFamily
        metric = kind(family.name, family.text, labels=OURS)
        for state in snapshot.states:
            if family.name in state.values:
                metric.add_metric(_ours(state.gpu), state.values[family.name])
        yield metric
    yield _throttle(snapshot)
    yield _processes(snapshot)


def _throttle(snapshot: Snapshot) -> Metric:
    metric = GaugeMetricFamily(
        "gpu_throttle_reason", "Whether the clocks are held down for this reason", labels=(*OURS, "reason")
    )
    for state in snapshot.states:
        bits = state.values.get(THROTTLE_BITS)
        for bit, reason in THROTTLE_REASONS.items() if bits is not None else ():
            metric.add_metric((*_ours(state.gpu), reason), float(bool(int(bits or 0) & bit)))
    return metric


def _processes(snapshot: Snapshot) -> Metric:
    metric = GaugeMetricFamily(
        "gpu_process_memory_used_mib",
        "Memory of a process that computes on this GPU",
        labels=(*OURS, "pid", "process"),
    )
    for state in snapshot.states:
        for one in state.processes:
            if one.used_mib is not None:
                metric.add_metric((*_ours(state.gpu), str(one.pid), one.name), one.used_mib)
    return metric


def _aliases(snapshot: Snapshot, hostname: str) -> Iterator[Metric]:
    for alias in dcgm.ALIASES:
        metric = Metric(alias.name, alias.text, "counter" if alias.counter else "gauge")
        for state in snapshot.states:
            if alias.ours in state.values:
                labels = dcgm.labels(state.gpu, hostname)
                metric.add_sample(alias.name, labels, state.values[alias.ours] * alias.scale)
        yield metric

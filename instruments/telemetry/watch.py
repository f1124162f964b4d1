"""The watch over one load: the server's numbers before and after it, and its gauges meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from types import TracebackType
from typing import Protocol, runtime_checkable

from instruments.clock import NANOSECONDS, ClockAnchor
from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot, Telemetry, growth
from instruments.telemetry.gpu import GpuSampler
from instruments.telemetry.prometheus_api import ClockOffset
from instruments.telemetry.record import NOWHERE, Series, ServerRecord
from instruments.telemetry.sampler import GaugeSampler
from instruments.telemetry.vllm import GAUGES, gauge, metric_name

SETTLE_BOUND_S = 10.0
POLL_EVERY_S = 0.1
AGAIN_S = 0.5  # after a source did not answer, once
HOLE = 2.5  # times the time between samples: so long without one is told
CLOCK_STEP_S = 0.05  # less is what setting a clock by degrees does
COUNTERS = ("generation_tokens", "prompt_tokens", "successes", "ttft")


@runtime_checkable
class Recorder(Protocol):
    """A source that keeps series by itself, on a clock of its own: nothing is sampled from it in a run."""

    def clock(self) -> ClockOffset: ...

    def series(
        self, ours: str, start_unix_s: float, end_unix_s: float, clock: ClockOffset | None = None
    ) -> tuple[Series, tuple[str, ...]]: ...


class ServerWatch:
    """Watches one load. What cannot be had is a problem in the record; a load goes on without it.

    As a context it begins on entering, and on leaving ends its threads whatever happened.
    """

    def __init__(
        self,
        telemetry: Telemetry | None,
        gpu: GpuSampler | None = None,
        *,
        every_s: float = 1.0,
        settle_bound_s: float = SETTLE_BOUND_S,
    ) -> None:
        self._telemetry = telemetry
        self._gpu = gpu
        self._settle_bound_s = settle_bound_s
        recorder = isinstance(telemetry, Recorder)
        self._sampler = GaugeSampler(telemetry, every_s) if telemetry and not recorder else None
        self._problems: list[str] = []
        self._anchor: ClockAnchor | None = None
        self._before: Snapshot | None = None
        self._clock: ClockOffset | None = None

    def __enter__(self) -> ServerWatch:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def begin(self) -> None:
        """The snapshot before the load, when nothing runs or waits; then sampling starts. Bounded."""
        self._problems = []
        self._before = self._settled("before the load")
        self._clock = self._offset()
        self._anchor = ClockAnchor.now()
        if self._sampler is not None:
            self._sampler.start()
        if self._gpu is not None:
            self._gpu.start()

    def stop(self) -> None:
        """End the sampling, bounded; any number of times."""
        for sampler in (self._sampler, self._gpu):
            if sampler is not None:
                sampler.stop()

    def end(self, start_unix_s: float, end_unix_s: float) -> ServerRecord:
        """End the sampling, take the snapshot after the load, and tell of the window in between.

        The window is that of the client's wall clock, as `run.anchor.unix_s` gives it.
        """
        if self._anchor is None:
            raise RuntimeError("a watch ends that has not begun")
        self.stop()
        stepped_s = _stepped_s(self._anchor)
        if abs(stepped_s) > CLOCK_STEP_S:
            self._problems.append(f"the client's wall clock was set by {stepped_s:+.3f} s during the load")
        after = self._settled("after the load")
        series, every_s, error_s, offset_s = self._gauges(start_unix_s, end_unix_s)
        self._problems += holes(series, every_s, start_unix_s, end_unix_s)
        if self._gpu is not None:
            series |= self._gpu.series(start_unix_s, end_unix_s)
            self._problems += self._gpu.problems
            every_s = every_s or self._gpu.every_s
        if self._before is not None and after is not None:
            self._problems += lost(self._before, after)
        source = self._telemetry.source if self._telemetry is not None else NOWHERE
        error_s = None if error_s is None else error_s + abs(stepped_s)
        return ServerRecord(
            source, self._before, after, series, every_s, error_s, tuple(self._problems), offset_s
        )

    def _gauges(
        self, start_unix_s: float, end_unix_s: float
    ) -> tuple[dict[str, Series], float | None, float | None, float | None]:
        """Series by our names, the time between samples, and the clock's error and offset."""
        if self._sampler is not None:
            series = {
                name: one.within(start_unix_s, end_unix_s) for name, one in self._sampler.series().items()
            }
            self._problems += self._sampler.problems
            return series, self._sampler.every_s, self._sampler.error_s, 0.0
        if not isinstance(self._telemetry, Recorder):
            return {}, None, None, None
        try:
            ended = self._telemetry.clock()
            clock = self._clock or ended
            series = {}
            for ours in GAUGES:
                one, told = self._telemetry.series(ours, start_unix_s, end_unix_s, clock)
                series[ours] = one
                self._problems += told
        except TelemetryError as error:
            self._problems.append(_told(error))
            return {}, None, None, None
        moved_s = abs(ended.offset_s - clock.offset_s)
        apart = [every_s for one in series.values() if (every_s := one.every_s())]
        return series, max(apart, default=None), max(ended.error_s, clock.error_s) + moved_s, clock.offset_s

    def _settled(self, when: str) -> Snapshot | None:
        """A snapshot with nothing running or waiting; the last one seen when that does not come."""
        if self._telemetry is None:
            if not self._problems:
                self._problems.append("the engine's metrics cannot be reached in this environment")
            return None
        bound, failed = time.monotonic() + self._settle_bound_s, False
        while True:
            try:
                snapshot = self._telemetry.snapshot()
            except TelemetryError as error:
                if failed or time.monotonic() > bound:
                    self._problems.append(f"{_told(error)}, {when}")
                    return None
                failed = True
                time.sleep(AGAIN_S)
                continue
            busy = sum(gauge(snapshot, name) or 0.0 for name in ("running", "waiting"))
            if busy == 0 or time.monotonic() > bound:
                break
            time.sleep(POLL_EVERY_S)
        if busy:
            self._problems.append(
                f"{busy:g} requests ran or waited still, {self._settle_bound_s:g} s on, {when}"
            )
        self._problems += (f"{one}, {when}" for one in unsaid(snapshot))
        return snapshot

    def _offset(self) -> ClockOffset | None:
        if not isinstance(self._telemetry, Recorder):
            return None
        try:
            return self._telemetry.clock()
        except TelemetryError as error:
            self._problems.append(_told(error))
            return None


def unsaid(snapshot: Snapshot) -> Iterator[str]:
    """What a snapshot ought to say and does not: gauges that are absent or not a number."""
    for ours in GAUGES:
        name = metric_name(snapshot, ours)
        if name is None:
            yield f"no metric says {ours}"
        elif gauge(snapshot, ours) is None:
            yield f"{name} is not a number"


def lost(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Counters of the engine that began anew or vanished in between: what they counted is lost."""
    for ours in COUNTERS:
        name = metric_name(after, ours) or metric_name(before, ours)
        if name is None:
            continue
        counted = name if name.endswith("_total") else f"{name}_count"
        grown = growth(before, after, counted)
        if grown.resets:
            yield f"{counted} began anew during the load: it grew by no less than {grown.value:g}"
        if grown.vanished:
            yield f"{len(grown.vanished)} series of {counted} vanished during the load: engine replaced"


def holes(
    series: dict[str, Series], every_s: float | None, start_unix_s: float, end_unix_s: float
) -> Iterator[str]:
    """Where a window has no samples: none at all, or none for far longer than between two of them."""
    window_s = end_unix_s - start_unix_s
    empty = sorted(name for name, one in series.items() if not one.at_s)
    if empty:
        yield f"no sample of {', '.join(empty)} in the {window_s:.1f} s of the window"
    for name, one in series.items():
        instants = [start_unix_s, *one.at_s, end_unix_s]
        longest_s = max(later - earlier for earlier, later in pairwise(instants))
        if one.at_s and every_s and longest_s > HOLE * every_s:
            yield f"no sample of {name} for {longest_s:.1f} s of the {window_s:.1f} s of the window"


def _stepped_s(began: ClockAnchor) -> float:
    """How far the wall clock was set since: what it moved less what time went by."""
    now = ClockAnchor.now()
    return ((now.unix_ns - began.unix_ns) - (now.monotonic_ns - began.monotonic_ns)) / NANOSECONDS


def _told(error: TelemetryError) -> str:
    """One line, with the time: problems are read in a list."""
    at = datetime.now(UTC).strftime("%H:%M:%S")
    return f"{error.message} ({error.seen}) at {at} UTC" if error.seen else f"{error.message} at {at} UTC"

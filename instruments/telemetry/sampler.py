"""The sampler of gauges: a server's running, waiting and KV use, asked for by direct scrapes in a load."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from typing import Protocol, runtime_checkable

from instruments.clock import NANOSECONDS, ClockAnchor
from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot, Telemetry
from instruments.telemetry.metronome import Metronome
from instruments.telemetry.record import Series
from instruments.telemetry.scrape import BOUND_S
from instruments.telemetry.vllm import GAUGES, NAMES, gauge, metric_name

WANTED = frozenset(name for ours in GAUGES for name in NAMES[ours])
STOP_BOUND_S = 2 * BOUND_S + 1.0  # a scrape's bound, and that of a piece which comes just before it


@runtime_checkable
class Choosy(Protocol):
    """A source that can be asked for some names alone."""

    def some(self, names: Collection[str]) -> Snapshot: ...


class GaugeSampler:
    """Samples between `start` and `stop`; a sample that cannot be had is counted, and no more."""

    def __init__(self, telemetry: Telemetry, every_s: float) -> None:
        self.every_s = every_s
        self._telemetry = telemetry
        self._metronome = Metronome(self._sample, every_s, "gauges")
        self._clear()

    def _clear(self) -> None:
        self._anchor = ClockAnchor.now()
        self._samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._unsaid: dict[str, int] = defaultdict(int)
        self._half_trips_s: list[float] = []
        self._failures: list[TelemetryError] = []
        self._hung = False

    def start(self) -> None:
        self._clear()
        self._metronome.start()

    def stop(self) -> None:
        """End the thread, bounded; any number of times."""
        self._hung = not self._metronome.stop(STOP_BOUND_S)

    def series(self) -> dict[str, Series]:
        """All that was sampled, by our names; an instant is the middle of its scrape."""
        return {
            ours: Series(tuple(at_s for at_s, _ in taken), tuple(value for _, value in taken))
            for ours, taken in list(self._samples.items())
        }

    @property
    def error_s(self) -> float | None:
        """How far from the middle of its scrape a value can have been true; None without a sample."""
        return max(self._half_trips_s, default=None)

    @property
    def problems(self) -> tuple[str, ...]:
        told = []
        if self._failures:
            first, tried = self._failures[0], len(self._failures) + len(self._half_trips_s)
            told.append(f"{len(self._failures)} of {tried} scrapes failed: {first.message} ({first.seen})")
        told += [f"{count} samples of {ours} were not a number" for ours, count in self._unsaid.items()]
        if self._hung:
            told.append(f"the sampling did not end within {STOP_BOUND_S:g} s")
        return tuple(told)

    def _sample(self) -> None:
        began_ns = time.monotonic_ns()
        try:
            chosen = self._telemetry
            snapshot = chosen.some(WANTED) if isinstance(chosen, Choosy) else chosen.snapshot()
        except TelemetryError as error:
            self._failures.append(error)
            return
        half_ns = (time.monotonic_ns() - began_ns) // 2
        self._half_trips_s.append(half_ns / NANOSECONDS)
        at_s = self._anchor.unix_s(began_ns + half_ns)
        for ours in GAUGES:
            value = gauge(snapshot, ours)
            if value is not None:
                self._samples[ours].append((at_s, value))
            elif metric_name(snapshot, ours) is not None:
                self._unsaid[ours] += 1

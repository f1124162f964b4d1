"""The client watches itself while it measures: lateness of its loop, processor share, requests in flight."""

from __future__ import annotations

import gc
import math
import resource
import sys
import time
from array import array
from types import TracebackType
from typing import Any

from instruments.clock import NANOSECONDS
from instruments.loop import Loop
from instruments.records import ClientCheck

PROBE_EVERY_NS = NANOSECONDS // 200


class SelfCheck:
    """Measures the process and the loop that it runs in, between entering and leaving.

    The garbage collector is off meanwhile: what a run keeps is kept until its end, and walking a hundred
    thousand pieces of answers to find nothing is what a pause is made of.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._lags_ns = array("q")  # two hundred a second, for as long as a run lasts
        self._gc_began_ns = 0
        self._gc_longest_ns = 0
        self._gc_was_on = True
        self._wall_ns = 0
        self._cpu_ns = 0
        self._watching = False
        self._flight = InFlight()

    def prepare(self) -> None:
        """What takes time, before the run's start is fixed: what exists by then is not walked again."""
        gc.collect()
        gc.freeze()

    def __enter__(self) -> SelfCheck:
        self._gc_was_on = gc.isenabled()
        gc.disable()
        gc.callbacks.append(self._on_gc)
        self._wall_ns, self._cpu_ns = -time.monotonic_ns(), -time.process_time_ns()
        self._watching = True
        self._probe_at(self._loop.now_ns() + PROBE_EVERY_NS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wall_ns += time.monotonic_ns()
        self._cpu_ns += time.process_time_ns()
        self._watching = False
        gc.callbacks.remove(self._on_gc)
        gc.unfreeze()
        if self._gc_was_on:
            gc.enable()

    def in_flight(self, now_ns: int, change: int) -> None:
        """One more request, or one less, is in flight."""
        self._flight.change(now_ns, change)

    def answered(self, stayed_ns: int) -> None:
        """How long a request was in flight by its own stamps, for Little's law."""
        self._flight.stayed_ns += stayed_ns
        self._flight.ended += 1

    def result(self, stamps: str, connections: int, clock_steps: int) -> ClientCheck | None:
        """What was seen; None when the run ended before a single probe."""
        if not self._lags_ns:
            return None
        lags = sorted(self._lags_ns)
        return ClientCheck(
            loop_lag_p99_s=lags[math.ceil(0.99 * len(lags)) - 1] / NANOSECONDS,
            loop_lag_max_s=lags[-1] / NANOSECONDS,
            gc_pause_max_s=self._gc_longest_ns / NANOSECONDS,
            cpu_share=self._cpu_ns / self._wall_ns if self._wall_ns > 0 else 0.0,
            stamps=stamps,
            connections_made=connections,
            in_flight_mean=self._flight.mean(),
            littles_ratio=self._flight.littles_ratio(),
            littles_excess_s=self._flight.littles_excess_s(),
            clock_steps=clock_steps,
            peak_memory_bytes=_peak_memory_bytes(),
        )

    def _probe_at(self, due_ns: int) -> None:
        self._loop.at(due_ns, lambda: self._probe(due_ns))

    def _probe(self, due_ns: int) -> None:
        now_ns = self._loop.now_ns()
        # A probe for every step that was missed: a loop that stood still for a second is two
        # hundred late probes, not one that a p99 leaves out.
        while due_ns <= now_ns:
            self._lags_ns.append(now_ns - due_ns)
            due_ns += PROBE_EVERY_NS
        if self._watching:
            self._probe_at(due_ns)

    def _on_gc(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began_ns = time.monotonic_ns()
        else:
            self._gc_longest_ns = max(self._gc_longest_ns, time.monotonic_ns() - self._gc_began_ns)


class InFlight:
    """Requests in flight over time, counted by the engine as it goes.

    Little's law (L = λW): the area under this count must be the sum of the times that the records say
    the requests took. One is made of what the engine saw happen, the other of the stamps; where they
    part, the client was late to see its own answers, or stamps are wrong.
    """

    def __init__(self) -> None:
        self._count = 0
        self._area_ns = 0
        self._since_ns: int | None = None
        self._began_ns: int | None = None
        self.stayed_ns = 0
        self.ended = 0

    def change(self, now_ns: int, by: int) -> None:
        if self._since_ns is None:
            self._began_ns = self._since_ns = now_ns
        self._area_ns += self._count * (now_ns - self._since_ns)
        self._since_ns = now_ns
        self._count += by

    def mean(self) -> float | None:
        """Mean number in flight from the first sending to the last end."""
        if self._since_ns is None or self._began_ns is None or self._since_ns <= self._began_ns:
            return None
        return self._area_ns / (self._since_ns - self._began_ns)

    def littles_ratio(self) -> float | None:
        """What the engine counted over what the records say; 1 when both saw the same."""
        return self._area_ns / self.stayed_ns if self.stayed_ns > 0 else None

    def littles_excess_s(self) -> float | None:
        """By how much a request, in the mean, was seen to end after its own stamps say that it did."""
        return (self._area_ns - self.stayed_ns) / NANOSECONDS / self.ended if self.ended else None


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

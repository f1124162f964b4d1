"""The client watches itself while it measures: event-loop lag, garbage collection, processor share."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from types import TracebackType
from typing import Any

from instruments.clock import NANOSECONDS
from instruments.records import ClientCheck

PROBE_EVERY_S = 0.005


class SelfCheck:
    """Measures the process that it runs in, between entering and leaving."""

    def __init__(self) -> None:
        self._lags_ns: list[int] = []
        self._gc_began_ns = 0
        self._gc_longest_ns = 0
        self._probe: asyncio.Task[None] | None = None
        self._wall_ns = 0
        self._cpu_ns = 0

    async def __aenter__(self) -> SelfCheck:
        gc.collect()
        gc.freeze()  # what exists before the run is not walked again during it
        gc.callbacks.append(self._on_gc)
        self._wall_ns, self._cpu_ns = -time.monotonic_ns(), -time.process_time_ns()
        self._probe = asyncio.create_task(self._watch_the_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wall_ns += time.monotonic_ns()
        self._cpu_ns += time.process_time_ns()
        gc.callbacks.remove(self._on_gc)
        gc.unfreeze()
        if self._probe is not None:
            self._probe.cancel()

    def result(self) -> ClientCheck | None:
        """What was seen; None when the run ended before a single probe."""
        if not self._lags_ns:
            return None
        lags = sorted(self._lags_ns)
        return ClientCheck(
            loop_lag_p99_s=lags[math.ceil(0.99 * len(lags)) - 1] / NANOSECONDS,
            loop_lag_max_s=lags[-1] / NANOSECONDS,
            gc_pause_max_s=self._gc_longest_ns / NANOSECONDS,
            cpu_share=self._cpu_ns / self._wall_ns if self._wall_ns > 0 else 0.0,
        )

    async def _watch_the_loop(self) -> None:
        step_ns = round(PROBE_EVERY_S * NANOSECONDS)
        due_ns = time.monotonic_ns() + step_ns
        while True:
            await asyncio.sleep((due_ns - time.monotonic_ns()) / NANOSECONDS)
            now_ns = time.monotonic_ns()
            # A probe for every step that was missed: a loop that stood still for a second is two
            # hundred late probes, not one that a p99 leaves out.
            while due_ns <= now_ns:
                self._lags_ns.append(now_ns - due_ns)
                due_ns += step_ns

    def _on_gc(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began_ns = time.monotonic_ns()
        else:
            self._gc_longest_ns = max(self._gc_longest_ns, time.monotonic_ns() - self._gc_began_ns)

"""Figures: what an arm adds to the time to first token, request by request, and streams per core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.proxies.measured import Run
from instruments.statistics.quantiles import quantile, quantile_interval

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Added:
    """TTFT by this arm less TTFT directly, paired by request of the same round; in ms, with intervals."""

    arm: str
    streams: int
    pairs: int
    p50_ms: float | None
    p50_interval_ms: tuple[float, float] | None
    p99_ms: float | None
    p99_interval_ms: tuple[float, float] | None
    streams_per_core: float | None  # at 20 tokens a second each; None for the direct way


def differences(runs: Iterable[Run], arm: str, streams: int) -> list[float]:
    """via − direct for each request of each round that both arms completed; ms."""
    found = {(run.arm, run.round): run.ttft_ms for run in runs if run.streams == streams and not run.problem}
    return [
        via - direct
        for (name, number), values in sorted(found.items())
        if name == arm and ("direct", number) in found
        for via, direct in zip(values, found["direct", number], strict=True)
    ]


def added(runs: Sequence[Run], arm: str, streams: int) -> Added:
    """The figures of one arm at one load, over all rounds."""
    ordered = sorted(differences(runs, arm, streams))
    return Added(
        arm,
        streams,
        len(ordered),
        quantile(ordered, 0.5),
        quantile_interval(ordered, 0.5, CONFIDENCE),
        quantile(ordered, 0.99),
        quantile_interval(ordered, 0.99, CONFIDENCE),
        streams_per_core(runs, arm, streams),
    )


def streams_per_core(runs: Iterable[Run], arm: str, streams: int) -> float | None:
    """Streams that one core could carry at the CPU that these took: streams ÷ (CPU seconds ÷ seconds)."""
    used = [run for run in runs if run.arm == arm and run.streams == streams and not run.problem]
    cpu_s, wall_s = sum(run.cpu_s for run in used), sum(run.wall_s for run in used)
    return streams * wall_s / cpu_s if cpu_s > 0 else None

"""The parts of a run that its processes wrote, put together into one run on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from instruments.records import ClientCheck, LoadRun, Window


def merged(runs: Sequence[LoadRun], missing: Sequence[int], of: int) -> LoadRun:
    """One run out of the parts that were found; `missing` are the numbers of those that were not, of `of`.

    The processes ran on one machine: their instants are of one clock.
    """
    windows = [run.window for run in runs if run.window is not None]
    stopped = [run.stopped_because for run in runs if run.stopped_because is not None]
    problems = [problem for run in runs for problem in run.problems]
    problems += [f"the journal of process {number} of {of} is missing" for number in missing]
    return replace(
        next((run for run in runs if _decided(run)), runs[0]),
        records=tuple(sorted((one for run in runs for one in run.records), key=lambda one: one.index)),
        window=Window(min(w.start_ns for w in windows), max(w.end_ns for w in windows)) if windows else None,
        client=_worst(runs),
        complete=all(run.complete for run in runs) and not missing,
        stopped_because=stopped[0] if stopped else "cut off" if missing else None,
        problems=tuple(dict.fromkeys(problems)),
    )


def _decided(run: LoadRun) -> bool:
    """Whether this part ended because all was decided: another may have had nothing left to send."""
    return bool((run.description.get("sampling") or {}).get("decided"))


def _worst(runs: Sequence[LoadRun]) -> ClientCheck | None:
    checks = [run.client for run in runs if run.client is not None]
    if not checks:
        return None
    stamps = {check.stamps for check in checks} - {"none"}
    ratios = [check.littles_ratio for check in checks if check.littles_ratio is not None]
    excesses = [check.littles_excess_s for check in checks if check.littles_excess_s is not None]
    return ClientCheck(
        loop_lag_p99_s=max(check.loop_lag_p99_s for check in checks),
        loop_lag_max_s=max(check.loop_lag_max_s for check in checks),
        gc_pause_max_s=max(check.gc_pause_max_s for check in checks),
        cpu_share=max(check.cpu_share for check in checks),
        stamps=stamps.pop() if len(stamps) == 1 else "mixed" if stamps else "none",
        connections_made=sum(check.connections_made for check in checks),
        in_flight_mean=_in_flight(runs),
        littles_ratio=max(ratios, key=lambda ratio: abs(ratio - 1), default=None),
        littles_excess_s=max(excesses, key=abs, default=None),
        clock_steps=max(check.clock_steps for check in checks),
        peak_memory_bytes=max(check.peak_memory_bytes for check in checks),
        processes=sum(check.processes for check in checks),
    )


def _in_flight(runs: Sequence[LoadRun]) -> float | None:
    """Mean in flight of all processes: each one's, for as long as it lasted, over the time of all."""
    parts = [
        (run.client.in_flight_mean, run.window)
        for run in runs
        if run.client is not None and run.client.in_flight_mean is not None and run.window is not None
    ]
    if not parts:
        return None
    ns = max(window.end_ns for _, window in parts) - min(window.start_ns for _, window in parts)
    area = sum(mean * (window.end_ns - window.start_ns) for mean, window in parts)
    return area / ns if ns > 0 else None

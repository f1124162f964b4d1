"""The page: GATEWAY.md's tables and goals, made from the saved runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.proxies.arms import ARMS
from benchmarks.proxies.figures import Added, added
from benchmarks.proxies.measured import Run
from benchmarks.table import markdown, number

GOAL_STREAMS, GOAL_MS = 64, 2.0


def report(saved: Mapping[str, Any], runs: Sequence[Run]) -> str:
    """All that one benchmark says."""
    machine = saved["machine"]
    loads = sorted({run.streams for run in runs})
    found = {
        (arm.name, streams): added(runs, arm.name, streams)
        for arm in ARMS[1:]
        for streams in loads
        if any(run.arm == arm.name and run.streams == streams for run in runs)
    }
    head = (
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Python "
        f"{machine['python']}; client and server on one core, the proxy alone on the other. "
        f"{saved['rounds']} rounds, arms in turn. The server is a simulator of known timing."
    )
    if saved["quick"]:
        head += " QUICK: too few requests for figures."
    arms = "\n".join(f"* {arm.title}: {arm.how}" for arm in ARMS)
    parts = [head, arms, _table(found, loads), _goal(found), _problems(runs)]
    return "\n\n".join(part for part in parts if part)


def _table(found: Mapping[tuple[str, int], Added], loads: Sequence[int]) -> str:
    header = ["arm", "streams", "TTFT added p50 (ms)", "p99 (ms)", "pairs", "streams per core"]
    rows = [
        [
            next(arm.title for arm in ARMS if arm.name == one.arm),
            str(one.streams),
            _with_interval(one.p50_ms, one.p50_interval_ms),
            _with_interval(one.p99_ms, one.p99_interval_ms),
            f"{one.pairs:,}",
            number(one.streams_per_core),
        ]
        for streams in loads
        for (_, at), one in found.items()
        if at == streams
    ]
    return markdown(header, rows)


def _goal(found: Mapping[tuple[str, int], Added]) -> str:
    ours, nginx = found.get(("ours", GOAL_STREAMS)), found.get(("nginx", GOAL_STREAMS))
    if not ours or not nginx or ours.p99_ms is None or nginx.p99_ms is None:
        return f"Goal (p99 within {GOAL_MS:g} ms of nginx at {GOAL_STREAMS} streams): not measured."
    behind = ours.p99_ms - nginx.p99_ms
    verdict = "reached" if behind <= GOAL_MS else "MISSED"
    return (
        f"Goal: p99 within {GOAL_MS:g} ms of nginx at {GOAL_STREAMS} streams. "
        f"Measured: {behind:+.2f} ms. {verdict}."
    )


def _problems(runs: Sequence[Run]) -> str:
    bad = [f"* {run.arm}, {run.streams} streams ({run.round}): {run.problem}" for run in runs if run.problem]
    return "Runs that count for nothing:\n\n" + "\n".join(bad) if bad else ""


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    low_high = f" [{number(interval[0])}, {number(interval[1])}]" if interval else ""
    return f"{number(value)}{low_high}"

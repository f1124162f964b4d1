"""The parts of a run that its processes wrote, put together into one run on one clock.

Parts of this machine are on its clock already. One from elsewhere says by how much its clock was ahead,
before the load and after it (instruments.remote). Each of its records is moved as a whole, by what the clocks
differed at its due instant: a latency stays what one clock measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from instruments.clock import NANOSECONDS, ClockAnchor
from instruments.errors import JournalError
from instruments.records import ClientCheck, LoadRun, RequestRecord, Window, moved


def merged(runs: Sequence[LoadRun], missing: Sequence[int], of: int) -> LoadRun:
    """One run out of the parts that were found; `missing` are the numbers of those that were not, of `of`.

    JournalError where they are not of one run.
    """
    _require_one_run(runs)
    runs = [on_the_runs_clock(run) for run in runs]
    records = tuple(sorted((one for run in runs for one in run.records), key=lambda one: one.index))
    windows = [run.window for run in runs if run.window is not None]
    stopped = [run.stopped_because for run in runs if run.stopped_because is not None]
    problems = [problem for run in runs for problem in run.problems]
    posts = runs[0].description.get("posts") or ()
    problems += [_missing(number, of, posts) for number in missing]
    problems += _told_twice(records)
    first = next((run for run in runs if _decided(run)), runs[0])
    return replace(
        first,
        description={name: told for name, told in first.description.items() if name != "part"},
        records=records,
        window=Window(min(w.start_ns for w in windows), max(w.end_ns for w in windows)) if windows else None,
        client=_worst(runs),
        complete=all(run.complete for run in runs) and not missing,
        stopped_because=stopped[0] if stopped else "cut off" if missing else None,
        problems=tuple(dict.fromkeys(problems)),
    )


def _require_one_run(runs: Sequence[LoadRun]) -> None:
    """Whoever starts a run gives all its parts one instant of the wall clock, wherever they are sent from."""
    begun = sorted({run.anchor.unix_ns for run in runs})
    if len(begun) > 1:
        raise JournalError(
            f"the parts of {runs[0].name} are of several runs",
            expected="parts of one run, whose first lines have the same anchor.unix_ns",
            seen=", ".join(map(str, begun)),
            hint="remove those that are of another run",
        )


def _told_twice(records: Sequence[RequestRecord]) -> list[str]:
    """What is wrong where requests of the plan have two records, as when a part is there twice."""
    twice = sum(one.index == other.index for one, other in pairwise(records))
    return [f"{twice:,} records are of requests that have another: a part is there twice"] if twice else []


def on_the_runs_clock(run: LoadRun) -> LoadRun:
    """A part with its instants on the clock of whoever started the run; the same object if it is there."""
    part = run.description.get("part")
    if part is None or "began_ns" in part:
        return run
    clock = PartClock.of(part)
    window, client = run.window, run.client
    anchor = ClockAnchor(run.anchor.monotonic_ns - clock.before_ns, run.anchor.unix_ns)
    records = tuple(moved(one, -clock.ahead_ns(one.due_ns)) for one in run.records)
    return replace(
        run,
        anchor=anchor,
        records=records,
        window=window and Window(clock.near_ns(window.start_ns), clock.near_ns(window.end_ns)),
        client=client and replace(client, clock_error_s=clock.error_ns / NANOSECONDS),
        description={**run.description, "part": {**part, "began_ns": _began_ns(run, clock)}},
    )


def ahead_before_ns(head: Mapping[str, Any]) -> int:
    """By how much the clock of a part, of which only the first line is known, was ahead before the load."""
    part = head.get("description", {}).get("part")
    return int(part["clock"]["offset_ns"]) if part else 0


def sealed(path: Path, run: LoadRun) -> LoadRun:
    """A run as its file tells it; not complete where it came from elsewhere and is not as it was there."""
    part = run.description.get("part")
    why = _broken_seal(path, part) if part is not None else None
    if why is None:
        return run
    stopped = run.stopped_because or why
    return replace(run, complete=False, stopped_because=stopped, problems=(*run.problems, why))


def _broken_seal(path: Path, part: Mapping[str, Any]) -> str | None:
    """Why a file is not what was written elsewhere; None when every byte of it is."""
    arrived, post = part.get("arrived"), part.get("post")
    if arrived is None:
        return f"the part from {post} did not arrive whole"
    with path.open("rb") as file:
        made = hashlib.sha256(file.read(arrived["bytes"])).hexdigest()
        rest = file.read()
    if made != arrived["sha256"] or rest.count(b"\n") != 1:
        return f"the part from {post} is not as it was written there: its SHA-256 is another"
    return None


@dataclass(frozen=True, slots=True)
class PartClock:
    """By how much a part's clock was ahead of the run's: `before_ns` at `from_ns`, `after_ns` at `until_ns`.

    Both instants are of the part's clock; between them it is taken to have drifted evenly. Nobody saw when it
    did: all by which it drifted is in `error_ns`, which holds for any clock that drifted one way.
    """

    before_ns: int
    from_ns: int
    after_ns: int
    until_ns: int
    error_ns: int  # either way

    @classmethod
    def of(cls, part: Mapping[str, Any]) -> PartClock:
        """Of what a part's first and last line say; of the first alone where it was cut off."""
        before = part["clock"]
        after = (part.get("arrived") or {}).get("clock") or before
        from_ns, until_ns = (one["at_ns"] + one["offset_ns"] for one in (before, after))
        drift_ns = abs(after["offset_ns"] - before["offset_ns"])
        error_ns = max(before["error_ns"], after["error_ns"]) + drift_ns
        return cls(before["offset_ns"], from_ns, after["offset_ns"], until_ns, error_ns)

    def ahead_ns(self, instant_ns: int) -> int:
        """At an instant of the part's clock."""
        if self.until_ns <= self.from_ns:
            return self.before_ns
        drift_ns, took_ns = self.after_ns - self.before_ns, self.until_ns - self.from_ns
        return self.before_ns + drift_ns * (instant_ns - self.from_ns) // took_ns

    def near_ns(self, instant_ns: int) -> int:
        """An instant of the part's clock on the run's."""
        return instant_ns - self.ahead_ns(instant_ns)


def _began_ns(run: LoadRun, clock: PartClock) -> int | None:
    """When a part really began, on the run's clock: as told, and later by what its first request was late."""
    start_ns = (run.description["part"].get("arrived") or {}).get("start_ns")
    lags_ns = [(one.due_ns, one.sent_ns - one.due_ns) for one in run.records if one.sent_ns is not None]
    if start_ns is None or not lags_ns:
        return None
    return clock.near_ns(int(start_ns)) + min(lags_ns)[1]


def _start_spread_s(runs: Sequence[LoadRun]) -> float | None:
    """From the first part's beginning to the last one's; None where fewer than two told theirs."""
    told = [(run.description.get("part") or {}).get("began_ns") for run in runs]
    began_ns = [one for one in told if one is not None]
    return (max(began_ns) - min(began_ns)) / NANOSECONDS if len(began_ns) > 1 else None


def _missing(number: int, of: int, posts: Sequence[str]) -> str:
    named = f" ({posts[number - 1]})" if len(posts) == of else ""
    return f"the journal of process {number} of {of}{named} is missing"


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
        clock_error_s=max(
            (one.clock_error_s for one in checks if one.clock_error_s is not None), default=None
        ),
        start_spread_s=_start_spread_s(runs),
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

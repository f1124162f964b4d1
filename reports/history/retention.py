"""Retention: the records of old runs go, the small documents that history is told from stay."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from instruments.results import RunFolder
from reports.history.runs import Run, bytes_in, runs_in

# What a session writes that history is not told from; whatever else lies in a run's folder is somebody's own.
RECORDS = (
    "loads",
    "logs",
    "allure",
    "allure-report",
    "stack",
    "stages",
    "capacity",
    "trials",
    "calibration",
    "claims.jsonl",
    "verdicts.jsonl",
    "laws.jsonl",
    "incidents.jsonl",
)
KEEP = "KEEP"  # a file of this name in a run's folder keeps all of it
PRUNED = "pruned.json"
UNFINISHED = timedelta(days=1)  # so long a session may still be writing


@dataclass(frozen=True, slots=True)
class Prunable:
    """A run whose records may go: their paths, and how many bytes they hold."""

    run: Run
    records: tuple[Path, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What may go, oldest first; by name of run why others stay that are old enough to go."""

    prunable: tuple[Prunable, ...]
    stays: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(one.size for one in self.prunable)


def plan_prune(directory: Path, keep: int, days: float | None, now: datetime) -> Plan:
    """Which runs right below a folder may lose their records: all but the newest `keep`, older than `days`.

    ConfigurationError where the folder cannot be looked into.
    """
    runs = runs_in(directory)
    known = [run for run in runs if run.session is not None]
    spared = {run.folder for run in known[max(0, len(known) - keep) :]}
    latest = (directory / "latest").resolve()
    prunable: list[Prunable] = []
    stays: dict[str, str] = {}
    for run in runs:
        if run.folder in spared or not _older(run, days, now):
            continue
        records = tuple(path for name in RECORDS if _is_ours(path := run.folder / name))
        if why := _stays(run, latest, now):
            stays[run.name] = why
        elif records:
            prunable.append(Prunable(run, records, sum(map(bytes_in, records))))
    return Plan(tuple(prunable), stays)


def prune(one: Prunable, now: datetime) -> list[str]:
    """Remove a run's records; returns what could not be removed, and why. Links are never followed.

    That they are gone is noted first: a run that lost a part of them is known to be none for judging again.
    """
    names = [path.name for path in one.records]
    RunFolder(one.run.folder).write_document(
        PRUNED, {"schema": 1, "at": now.astimezone(UTC).isoformat(timespec="seconds"), "removed": names}
    )
    failed: list[str] = []
    for path in one.records:
        try:
            _remove(path)
        except OSError as error:
            failed.append(f"{path}: {error.strerror or error}")
    return failed


def left(pruned: Sequence[Prunable]) -> int:
    """Bytes that are still there of what was to go."""
    return sum(bytes_in(path) for one in pruned for path in one.records)


def _older(run: Run, days: float | None, now: datetime) -> bool:
    """One whose age is not known is as old as any: what becomes of it is told."""
    return days is None or run.started is None or now - run.started > timedelta(days=days)


def _stays(run: Run, latest: Path, now: datetime) -> str | None:
    if run.session is None or run.started is None:
        return run.problem
    if (run.folder / KEEP).exists():
        return f"holds a file {KEEP}"
    if run.folder.resolve() == latest:
        return "it is the latest"
    if not run.finished and now - run.started < UNFINISHED:
        return "not finished, and begun less than a day ago"
    if RunFolder(run.folder).read_document("verdict.json") is None:
        return f"without a verdict.json nothing of it would be left: python -m reports {run.folder} makes it"
    return None


def _is_ours(path: Path) -> bool:
    return path.exists() and not path.is_symlink()


def _remove(path: Path) -> None:
    if path.is_symlink():
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()

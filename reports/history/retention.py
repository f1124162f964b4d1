"""Retention: the records of old runs go, the small documents that history is told from stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from instruments.errors import JournalError
from instruments.results import RunFolder
from reports.history.entries import read_entry
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
    latest = os.path.realpath(directory / "latest")
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
    """Remove a run's records; returns what could not be done, and why. Links are never followed.

    That they are gone is noted first: a run that lost a part of them is known to be none for judging again.
    Where there is no room for that note, it is written when there is.
    """
    noted = _note(one, now)
    failed: list[str] = []
    for path in one.records:
        try:
            _remove(path)
        except OSError as error:
            failed.append(f"cannot remove {path}: {error.strerror or error}")
    if noted is not None:  # on a disk that was full there is room now
        noted = _note(one, now)
    return failed if noted is None else [*failed, noted]


def _note(one: Prunable, now: datetime) -> str | None:
    """Note what is removed; returns why it could not be noted."""
    at, names = now.astimezone(UTC).isoformat(timespec="seconds"), [path.name for path in one.records]
    try:
        RunFolder(one.run.folder).write_document(PRUNED, {"schema": 1, "at": at, "removed": names})
    except JournalError as error:
        return f"{error.message}: {error.seen}"
    return None


def left(pruned: Sequence[Prunable]) -> int:
    """Bytes that are still there of what was to go."""
    return sum(bytes_in(path) for one in pruned for path in one.records)


def _older(run: Run, days: float | None, now: datetime) -> bool:
    """One whose age is not known is as old as any: what becomes of it is told."""
    return days is None or run.started is None or now - run.started > timedelta(days=days)


def _stays(run: Run, latest: str, now: datetime) -> str | None:
    if run.session is None or run.started is None:
        return run.problem
    if (run.folder / KEEP).exists():
        return f"holds a file {KEEP}"
    if os.path.realpath(run.folder) == latest:
        return "it is the latest"
    if not run.finished and now - run.started < UNFINISHED:
        return "not finished, and begun less than a day ago"
    try:
        read_entry(run)
    except JournalError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return f"nothing that list can read would be left of it: {error.message}{hint}"
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

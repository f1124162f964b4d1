"""The runs below a folder, newest last: what their run.json tells, and what of them cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from instruments.errors import ConfigurationError, JournalError
from instruments.results import RunFolder, SessionRecord
from reports.loads import MALFORMED

# What a folder holds that is a run's, though its run.json be lost.
_SIGNS = ("run.json", "verdict.json", "claims.jsonl", "loads")


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder. Without a session it cannot be read, and `problem` says why."""

    folder: Path
    session: SessionRecord | None
    started: datetime | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def finished(self) -> bool:
        return self.session is not None and self.session.finished_at is not None

    def of(self, environment: str | None, engine: str | None = None) -> bool:
        """Whether it can be read and is of these; None is any."""
        session = self.session
        return session is not None and (
            environment in (None, session.environment) and engine in (None, session.engine)
        )


def runs_in(directory: Path) -> list[Run]:
    """Every run right below a folder, oldest first; those that cannot be read come before all others.

    Links are not followed: `latest` is another name of a run that is there anyway. ConfigurationError where
    there is no such folder.
    """
    try:
        with os.scandir(directory) as found:
            folders = [Path(one.path) for one in found if one.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise ConfigurationError(
            f"cannot look into {directory}",
            expected="a folder of runs, such as results",
            seen=error.strerror or str(error),
        ) from None
    runs = [read_run(folder) for folder in folders if _is_run(folder)]
    return sorted(runs, key=_age)


def read_run(folder: Path) -> Run:
    """A run by its run.json. Whatever is wrong with it is its problem, never an exception."""
    try:
        session = RunFolder(folder).read_session()
        started = moment(session.started_at)
    except JournalError as error:
        return Run(folder, None, problem=f"no run.json that can be read: {error.seen}")
    except MALFORMED as error:
        return Run(folder, None, problem=f"run.json has another shape than a session's: {error}")
    if not isinstance(session.environment, str) or not isinstance(session.run_id, str):
        return Run(folder, None, problem="run.json has another shape than a session's")
    return Run(folder, session, started)


def moment(iso: str) -> datetime:
    """An instant of run.json, in UTC; one without a zone is so. ValueError or TypeError for what is none."""
    found = datetime.fromisoformat(iso)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def bytes_in(path: Path) -> int:
    """What a file holds, or all files below a folder. A link holds nothing, nor what is gone meanwhile."""
    if path.is_symlink():
        return 0
    if not path.is_dir():
        return _size(path)
    return sum(_sizes(path))


def _sizes(folder: Path) -> Iterator[int]:
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                for one in found:
                    if one.is_dir(follow_symlinks=False):
                        pending.append(one.path)
                    elif one.is_file(follow_symlinks=False):
                        yield one.stat(follow_symlinks=False).st_size
        except OSError:
            continue


def _size(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _is_run(folder: Path) -> bool:
    """Also one that nobody may look into: that it cannot be read is told."""
    return not os.access(folder, os.R_OK | os.X_OK) or any((folder / sign).exists() for sign in _SIGNS)


def _age(run: Run) -> tuple[float, str]:
    return (run.started.timestamp() if run.started else float("-inf"), run.name)

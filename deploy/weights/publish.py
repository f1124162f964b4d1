"""A folder of weights appears whole or not at all: filled beside its name, verified, renamed, marked."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.weights.source import MARKER, STATE, LockedError, RemoteFile, SpaceError, UsageError
from deploy.weights.transfer import Stopped, Verified

SPARE = 64 << 20  # bytes left free for what else lives on the file system
POLL_S = 0.5


@contextmanager
def locked(destination: Path, wait_s: float, stopping: threading.Event) -> Iterator[None]:
    """Hold DEST.lock; the kernel lets go of it when this process ends, however it ends.

    Raises LockedError where another process holds it for longer than `wait_s`, Stopped where told to stop.
    """
    path = destination.with_name(f"{destination.name}.lock")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise UsageError(f"expected to write beside {destination}; saw {error.strerror}") from None
    try:
        until = time.monotonic() + wait_s
        while not _take(handle):
            if time.monotonic() >= until:
                raise LockedError(
                    f"expected to be alone; another run fills {destination}; --wait-s waits for it"
                )
            if stopping.wait(POLL_S):
                raise Stopped
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_there(destination: Path, source: str) -> bool:
    """Whether `destination` was published from `source` and still has all its files, by name and size.

    Raises UsageError where something else stands there: nothing of somebody else's is ever thrown away.
    """
    if not destination.exists():
        return False
    try:
        marker: dict[str, Any] = json.loads((destination / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if destination.is_dir() and not any(destination.iterdir()):
            return False
        raise UsageError(
            f"expected no folder {destination}, or one made by this program; remove it"
        ) from None
    except (OSError, ValueError):
        raise UsageError(f"{destination / MARKER}: cannot be read; remove the folder") from None
    if marker.get("source") != source:
        raise UsageError(
            f"{destination} was filled from {marker.get('source')}; expected {source}; remove it"
        )
    for path, said in marker["files"].items():
        file = destination / path
        if not file.is_file() or file.stat().st_size != said["size"]:
            raise UsageError(f"{file}: is not as it was published; remove the folder {destination}")
    return True


def make_way(destination: Path) -> None:
    """Take an empty folder of that name away before anything comes: a mount point cannot be, nor replaced."""
    try:
        if destination.is_dir():
            destination.rmdir()
    except OSError as error:
        raise UsageError(
            f"expected {destination} to be a name in a volume; it cannot be replaced ({error.strerror});"
            f" is it a mount point? mount the volume on {destination.parent}"
        ) from None


def prepare(partial: Path, source: str, files: Sequence[RemoteFile]) -> int:
    """Make the folder that is filled, keep in it only what belongs to these versions; bytes kept."""
    partial.mkdir(exist_ok=True)
    try:
        before = json.loads((partial / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    known = before.get("files", {}) if before.get("source") == source else {}
    kept = {partial / file.path for file in files if known.get(file.path) == [file.version, file.size]}
    kept_bytes = 0
    for path in [one for one in partial.rglob("*") if one.is_symlink() or not one.is_dir()]:
        if path in kept and path.is_file() and not path.is_symlink():
            kept_bytes += path.stat().st_size
        else:
            path.unlink()
    for folder in sorted((one for one in partial.rglob("*") if one.is_dir()), reverse=True):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()
    state = {"source": source, "files": {file.path: [file.version, file.size] for file in files}}
    _write(partial / STATE, state)
    return kept_bytes


def require_space(folder: Path, needed: int) -> None:
    """Raises SpaceError where `needed` bytes and a spare do not fit."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise SpaceError(
            f"expected {(needed + SPARE) / 1e6:,.1f} MB free below {folder}; saw {free / 1e6:,.1f} MB"
        )


def publish(partial: Path, destination: Path, source: str, files: Mapping[str, Verified]) -> str:
    """Write the marker, make all of it durable, give the folder its name; the digest of the list of files."""
    lines = "".join(f"{one.sha256}  {path}\n" for path, one in sorted(files.items()))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    said = {
        path: {"sha256": one.sha256, "size": one.size, "by": one.by} for path, one in sorted(files.items())
    }
    # The state goes last: until the folder has its name, the next run must be able to go on.
    _write(partial / MARKER, {"source": source, "manifest_sha256": digest, "files": said})
    for folder in [partial, *(path for path in partial.rglob("*") if path.is_dir())]:
        _sync_folder(folder)
    make_way(destination)  # somebody may have made it meanwhile
    try:
        partial.rename(destination)
    except OSError as error:
        raise UsageError(f"expected to rename {partial} to {destination}; saw {error.strerror}") from None
    (destination / STATE).unlink()
    _sync_folder(destination)
    _sync_folder(destination.parent)
    return digest


def _write(path: Path, content: dict[str, Any]) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as out:
        json.dump(content, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    new.replace(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

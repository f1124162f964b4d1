"""The census: which processes live, whose children they are, and bounded waits for them to come and go."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BOUND_S = 30.0


def eventually(holds: Callable[[], object], what: str, bound_s: float = BOUND_S) -> None:
    """Wait until it holds; AssertionError when the bound is over."""
    bound = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < bound, f"not within {bound_s:g} s: {what}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    state = _stat(pid)
    return state is not None and state[0] not in ("Z", "X")


def parent_of(pid: int) -> int:
    """The parent's process id; LookupError when there is no such process."""
    state = _stat(pid)
    if state is None:
        raise LookupError(f"no process {pid}")
    return int(state[1])


def children_of(parent: int) -> list[int]:
    """Process ids of its living children."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in listed.split()]


def named(folder: Path, *kinds: str) -> dict[str, int]:
    """Process ids that a tree left in its folder, once all have."""
    files = {kind: folder / f"{kind}.pid" for kind in kinds}
    eventually(lambda: all(path.exists() for path in files.values()), f"the tree names {', '.join(kinds)}")
    return {kind: int(path.read_text()) for kind, path in files.items()}


def all_gone(pids: dict[str, int], bound_s: float = BOUND_S) -> None:
    """Wait until none of them lives."""
    eventually(lambda: not any(alive(pid) for pid in pids.values()), f"{', '.join(pids)} have ended", bound_s)


def command_lines() -> Iterator[tuple[int, str]]:
    """Process id and command line of everything that runs."""
    yield from _read_all("cmdline")


def with_in_environment(words: str) -> dict[int, str]:
    """Processes whose environment, as they were started, holds the words; with their command lines."""
    lines = dict(command_lines())
    found = [pid for pid, environment in _read_all("environ") if words in environment]
    return {pid: lines.get(pid, "?") for pid in found if alive(pid)}


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    data = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    return dict(entry.split("=", 1) for entry in data.split("\0") if "=" in entry)


def _read_all(name: str) -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        if int(path.parent.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            yield int(path.parent.name), path.read_bytes().decode("utf-8", "replace").replace("\0", "\n")


def _stat(pid: int) -> tuple[str, str] | None:
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return state, parent

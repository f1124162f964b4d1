"""Posts: far sides started as commands of this machine, and the loads that they send."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instruments.fleet import LoadSpec
from instruments.remote import Post
from instruments.target import Target
from instruments.workloads import Workload
from instruments.workloads.synthetic import SyntheticWorkload
from tests.deploy.running import KEY, Simulator

FAR = (sys.executable, "-m", "instruments.remote.far")
AHEAD_S = 1000
# A far side whose monotonic clock is ahead of ours: the kernel itself shows it another one.
ELSEWHEN = ("unshare", "--time", "--monotonic", str(AHEAD_S), *FAR)
SHORT: dict[str, Any] = {"prompt_tokens": 8, "output_tokens": 4, "requests_warmup": 0}


def spec(
    server: Simulator, folder: Path, workload: Workload, *crew: tuple[str, ...], **options: Any
) -> LoadSpec:
    """A load from posts `a`, `b` …, started by these commands; from this process's own worker without any."""
    target = Target(server.url, {"Authorization": f"Bearer {KEY}"})
    posts = tuple(Post("abcdefgh"[number], command) for number, command in enumerate(crew))
    given = {"target": target, **options}
    return LoadSpec("w", workload, model="tiny", seed=11, journal=folder / "load.jsonl", crew=posts, **given)


def closed(users: int = 4, requests: int = 24, **options: Any) -> SyntheticWorkload:
    return SyntheticWorkload("w", "", requests_measured=requests, users=users, **{**SHORT, **options})


def opened(rate_per_s: float = 200.0, requests: int = 24, **options: Any) -> SyntheticWorkload:
    return SyntheticWorkload(
        "w", "", requests_measured=requests, rate_per_s=rate_per_s, **{**SHORT, **options}
    )


def processes(module: str, above: int | None = None) -> list[int]:
    """The processes of a module that descend from this one, or from another."""
    children: dict[int, list[int]] = {}
    running: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            # python -m MODULE …: a near side has the far one's name among its arguments.
            if (folder / "cmdline").read_bytes().split(b"\0")[1:3] == [b"-m", module.encode()]:
                running.add(int(folder.name))
        except (OSError, ValueError):
            continue
        children.setdefault(parent, []).append(int(folder.name))
    return sorted(running & set(_below(children, above or os.getpid())))


def _below(children: dict[int, list[int]], pid: int) -> Iterator[int]:
    for child in children.get(pid, ()):
        yield child
        yield from _below(children, child)


def when_under_way(journal: Path, act: Callable[[], object]) -> threading.Thread:
    """Do something when a journal has its first record; the thread is to be joined."""

    def wait() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if journal.exists() and b'"kind":"request"' in journal.read_bytes():
                act()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def gone(pids: list[int], bound_s: float = 20.0) -> bool:
    """Whether all of these end within a bound."""
    until = time.monotonic() + bound_s
    while time.monotonic() < until:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

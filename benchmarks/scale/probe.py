"""The probe: processor time, memory and descriptors of processes, looked at from outside while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 0.2
JOIN_BOUND_S = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at client and server: the instant (monotonic), and the processor time of each up to then."""

    at_ns: int
    client_ns: int
    server_ns: int


@dataclass(slots=True)
class Seen:
    """All looks of one run, and the most that the client held."""

    looks: list[Look] = field(default_factory=list)
    peak_bytes: int = 0
    descriptors: int = 0

    def within(self, begin_ns: int, end_ns: int) -> tuple[Look, Look] | None:
        """The first and the last look of a window; None where it holds fewer than two."""
        found = [look for look in self.looks if begin_ns <= look.at_ns <= end_ns]
        return (found[0], found[-1]) if len(found) > 1 else None


@contextmanager
def probing(client: int, server: int) -> Iterator[Seen]:
    """Look at two processes, by their ids, until the context ends or one of them does."""
    seen, over = Seen(), threading.Event()

    def look_on() -> None:
        while not over.wait(EVERY_S):
            with suppress(OSError, IndexError):  # the client ends before we are told to
                seen.looks.append(Look(time.monotonic_ns(), busy_ns(client), busy_ns(server)))
                seen.peak_bytes = max(seen.peak_bytes, peak_bytes(client))
                # A descriptor each: the list of thousands is not read more often than it must be.
                if len(seen.looks) % 5 == 1:
                    seen.descriptors = max(seen.descriptors, descriptors(client))

    looking = threading.Thread(target=look_on, daemon=True)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join(JOIN_BOUND_S)


def busy_ns(pid: int) -> int:
    """Processor time of a process's threads, by the scheduler's own count (/proc/PID/task/*/schedstat)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had (VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def server_among(pids: Sequence[int]) -> int:
    """The id of the server of known timing among some processes. LookupError without one."""
    for pid in pids:
        with suppress(OSError):
            if b"deploy.simulator" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
    raise LookupError("no server of known timing among the children of this process")

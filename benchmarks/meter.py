"""The meter: runs one command to its end or its bound, and counts what it and all its descendants used.

`python -m benchmarks.meter REPORT LIMIT_S -- COMMAND...`, a process of its own: it adopts what its command
leaves behind (PR_SET_CHILD_SUBREAPER), so nothing escapes the count, and nothing survives it. It ends its
command too when it is told to end, or when its own parent dies.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOOK_EVERY_S = 0.5  # finding a tree in /proc costs a millisecond on the server's core
GRACE_S = 5.0  # for what the command leaves behind, and for a command that is told to end
KIB = 1024
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one command used: its whole tree, in seconds and bytes."""

    status: int  # exit status; minus the signal's number when a signal ended it
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int  # largest sum over the tree that was seen, or the largest process if that is more
    largest_rss_bytes: int  # of its largest process, by the kernel's own high-water mark
    processes_left: int  # that outlived the command: counted, then ended
    timed_out: bool


@dataclass(slots=True)
class Memory:
    """The most that was seen of a tree, in bytes: in all at one instant, and of one process."""

    peak_bytes: int = 0
    largest_bytes: int = 0

    def look(self, processes: list[tuple[int, int, int]]) -> None:
        # Files that are mapped (the interpreter, libraries) are one copy for all processes that use them.
        own, files = sum(own for own, _, _ in processes), max((files for _, files, _ in processes), default=0)
        self.peak_bytes = max(self.peak_bytes, own + files)
        self.largest_bytes = max(self.largest_bytes, *(most for _, _, most in processes))


class _ToldToEnd(Exception):
    """This process got SIGTERM, SIGINT, or its parent died."""


def measure(argv: list[str], limit_s: float) -> Usage:
    """Run `argv` with this process's output and environment; its tree is gone when this returns."""
    began = time.monotonic()
    pid = os.posix_spawnp(argv[0], argv, os.environ, setsid=True)
    seen, timed_out = Memory(), False
    try:
        timed_out = _watch(pid, began + limit_s, seen)
    finally:
        wall_s = time.monotonic() - began
        if timed_out or sys.exc_info()[0] is not None:
            _end_group(pid)
        _, status, used = os.wait4(pid, 0)
        cpu_s, largest, left = _reap_rest()
    # A child starts as a copy of us, and the kernel never forgets that: a mark below ours says nothing.
    # Not getrusage's mark, which a process inherits from the one that started it.
    own = _resident(os.getpid())[2]
    marks = [mark for mark in (largest, used.ru_maxrss * KIB) if mark > own]
    largest = max(seen.largest_bytes, *marks, 0)
    return Usage(
        status=os.waitstatus_to_exitcode(status),
        wall_s=wall_s,
        cpu_s=used.ru_utime + used.ru_stime + cpu_s,
        peak_rss_bytes=max(seen.peak_bytes, largest),
        largest_rss_bytes=largest,
        processes_left=left,
        timed_out=timed_out,
    )


def _watch(pid: int, until: float, seen: Memory) -> bool:
    """Wait for the process to end, looking at its tree's memory; whether `until` came first."""
    watched = os.pidfd_open(pid)
    try:
        while (left := until - time.monotonic()) > 0:
            if select.select([watched], [], [], min(LOOK_EVERY_S, left))[0]:
                return False
            seen.look([_resident(one) for one in tree(pid)])
    finally:
        os.close(watched)
    return True


def tree(root: int) -> list[int]:
    """`root` and its descendants, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _parent(process: Path) -> int | None:
    try:  # the name in brackets may hold anything, brackets too
        return int((process / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):  # it has ended meanwhile
        return None


def _resident(pid: int) -> tuple[int, int, int]:
    """Bytes that a process has in memory: its own, of mapped files, and the most that both ever were."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0, 0
    sizes = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    names = ("RssAnon", "RssShmem", "RssFile", "VmHWM")
    own, shared, files, most = (int(sizes.get(name, "0 kB").split()[0]) * KIB for name in names)
    return own + shared, files, most


def _end_group(pid: int) -> None:
    """Ask the command's session to end, then make it."""
    watched = os.pidfd_open(pid)
    try:
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(pid, signum)
            if select.select([watched], [], [], GRACE_S)[0]:
                return
    finally:
        os.close(watched)


def _reap_rest() -> tuple[float, int, int]:
    """CPU seconds, largest memory in bytes and number of the processes that the command left to us."""
    cpu_s, largest, left = 0.0, 0, 0
    until = time.monotonic() + GRACE_S
    while True:
        try:
            pid, _, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu_s, largest, left
        if pid:
            left += 1
            cpu_s += used.ru_utime + used.ru_stime
            largest = max(largest, used.ru_maxrss * KIB)
        else:
            if time.monotonic() > until:
                _kill_descendants()
            time.sleep(0.01)


def _kill_descendants() -> None:
    for pid in tree(os.getpid())[1:]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent dies, however that dies."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    if LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _on_signal(signum: int, _: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_IGN)  # once is enough: the second must not cut the clearing up short
    raise _ToldToEnd


def main(arguments: list[str]) -> int:
    """Measure the command after `--`; 0 when there is a report, whatever the command's own status."""
    report, limit_s, dashes, *argv = arguments
    assert dashes == "--"
    die_with_parent()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _on_signal)
    try:
        usage = measure(argv, float(limit_s))
    except _ToldToEnd:
        return 128 + signal.SIGTERM
    Path(report).write_text(json.dumps(asdict(usage)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

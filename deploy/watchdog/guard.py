"""The guard: runs one child of the watchdog, and takes all that came of it down when the watchdog is gone.

    python guard.py PID_FD COMMAND [ARGUMENT ...]

The child's process id goes to the descriptor PID_FD as a line. Standard input is a pipe that only the
watchdog holds: a line `stop SECONDS` asks for SIGTERM to the child alone (it knows in which order to end its
own: a SIGTERM to vLLM's engine core would break the drain) and SIGKILL for all after so many seconds; the end
of the pipe, which is what a killed watchdog leaves, means SIGKILL for all at once. Ends as the child did
(128 + n for signal n).

With the standard library only, and by path: it is up in milliseconds, and outlives nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL_BOUND_S = 5.0
CANNOT_RUN = 127


def main() -> int:
    """Guard one child from its start to its end."""
    told, command = int(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the watchdog says when; a signal to its group does not
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_as_child)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
        return CANNOT_RUN
    os.write(told, b"%d\n" % child.pid)
    os.close(told)
    status = _watch(child, woken)
    _kill_all(child.pid)
    return status


def _watch(child: subprocess.Popen[bytes], woken: int) -> int:
    """Wait until the child ended or must; its exit status, 137 when it is to be killed."""
    deadline_s: float | None = None
    while True:
        left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
        ready, _, _ = select.select([0, woken], [], [], left_s)
        if woken in ready:
            os.read(woken, 4096)
        status = child.poll()
        if status is not None:
            return status if status >= 0 else 128 - status
        if deadline_s is not None and time.monotonic() >= deadline_s:
            return 128 + signal.SIGKILL
        if 0 in ready:
            words = os.read(0, 4096).split()
            if len(words) < 2 or words[0] != b"stop":
                return 128 + signal.SIGKILL
            deadline_s = time.monotonic() + float(words[1])
            child.terminate()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGCONT)  # a stopped process does not hear SIGTERM


def _kill_all(child: int) -> None:
    """Kill the child's group and every descendant; what they fork meanwhile is found in the next round."""
    bound_s = time.monotonic() + KILL_BOUND_S
    while time.monotonic() < bound_s:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _descendants(root: int) -> list[int]:
    """Process ids of all living descendants, read from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in parentheses may hold anything: what follows the last one is state and parent.
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.parent.name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _as_child() -> None:
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the guard itself be killed
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())

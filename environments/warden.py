"""The warden: runs one command and takes it down with all its descendants when its owner is gone.

    python warden.py PID_FILE COMMAND [ARGUMENT ...]

Its standard input is a pipe whose other end only the owner holds. A line `stop SECONDS` asks for
SIGTERM, and SIGKILL after that many seconds. The end of the pipe, which is what a killed owner
leaves behind, means SIGKILL for all at once. The warden is a subreaper, so that grandchildren whose
parent died are still its own, and ends with the command's exit status (128 + n for signal n).

Run as a script by path, with the standard library only: it has to be up in milliseconds.
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


def main() -> int:
    pid_file, command = Path(sys.argv[1]), sys.argv[2:]
    # A signal to the owner's process group must not end the warden before its charge.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        charge = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_as_charge)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
        return 127
    pid_file.write_text(str(charge.pid))
    status = _watch(charge, woken)
    _kill_all(charge.pid)
    return status


def _watch(charge: subprocess.Popen[bytes], woken: int) -> int:
    """Wait until the charge ended or must end; its exit status, 137 when it was killed."""
    deadline: float | None = None
    while True:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([0, woken] if deadline is None else [woken], [], [], timeout)
        if woken in ready:
            os.read(woken, 4096)
        status = charge.poll()
        if status is not None:
            return status if status >= 0 else 128 - status
        if deadline is not None and time.monotonic() >= deadline:
            return 128 + signal.SIGKILL
        if 0 in ready:
            words = os.read(0, 4096).split()
            if len(words) < 2 or words[0] != b"stop":
                return 128 + signal.SIGKILL
            deadline = time.monotonic() + float(words[1])
            charge.terminate()
            charge.send_signal(signal.SIGCONT)  # a stopped process does not hear SIGTERM


def _kill_all(charge: int) -> None:
    """Kill every descendant; what they fork meanwhile is found in the next round."""
    bound = time.monotonic() + KILL_BOUND_S
    while time.monotonic() < bound:
        descendants = _descendants(os.getpid())
        if not descendants and not Path("/proc/self/stat").exists():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(charge, signal.SIGKILL)
        for pid in descendants:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _descendants(root: int) -> list[int]:
    """Process ids of all living descendants, read from /proc; none where there is no /proc."""
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


def _as_charge() -> None:
    os.setsid()
    # Should the warden itself be killed, its charge goes with it.
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())

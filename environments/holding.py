"""The holder: a process in the background that keeps one stack up until it is told to stop, or a part dies.

A lock on `holder` in the stack's folder says that it lives, and goes with it in whatever way it ends; wardens
then take down all that it started. So a file that a killed holder left is known to be stale, and no process
is guessed at.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from environments.handoff import forget, private, remove_left, started_at, write_handoff
from environments.local import local_stack
from environments.profile import Profile
from environments.provider import Stack, StackDied, StackError

LOOK_EVERY_S = 0.5
LOCK_BOUND_S = 1.0  # whoever asks `is_held` has it for an instant


class AlreadyUp(StackError):
    """Another holder keeps a stack up in this folder."""


def is_held(place: Path) -> bool:
    """Whether a holder lives there: it may still be starting its stack, or taking it down."""
    try:
        with (place / "holder").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def holder_of(place: Path) -> int | None:
    """The holder's process id, while it lives. Never that of an earlier one: who asks may send a signal."""
    bound = time.monotonic() + LOCK_BOUND_S
    while is_held(place):
        with contextlib.suppress(OSError, ValueError):
            pid, began = (place / "holder").read_text().split()
            if started_at(int(pid)) == began:
                return int(pid)
        if time.monotonic() > bound:  # it has the lock, and its name is not written yet
            raise AlreadyUp(
                f"a stack is held in {place} by nobody who names himself",
                expected="a process id and its beginning in its file `holder`",
                hint="again in a moment; `fuser` on that file names the process",
            )
        time.sleep(0.02)
    return None


def hold(profile: Profile, place: Path) -> int:
    """Stand the stack up, write it down, keep it until SIGTERM or the death of a part that serves.

    Until it is up, the end of standard input ends it as well: whoever waits for it was killed. SystemExit(0)
    after SIGTERM; returns 1 when a part died. StackError when the stack does not come up.
    """
    with _sole(place):
        remove_left(place)
        shutil.rmtree(place / "logs", ignore_errors=True)  # of the one before
        (place / "ended").unlink(missing_ok=True)
        up = threading.Event()
        threading.Thread(target=_end_with_owner, args=(up,), daemon=True).start()
        signal.signal(signal.SIGTERM, _told_to_stop)
        began_at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with local_stack(profile, place, _log) as stack:
                try:
                    write_handoff(place, stack, profile, began_at)
                    up.set()
                    _log("up")
                    return _watch(stack, place)
                finally:
                    forget(place)  # first of all: while the rest goes down nobody is to come
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            remove_left(place)


def _watch(stack: Stack, place: Path) -> int:
    """Look at each part; a watcher's death is written down once, that of a part that serves ends it all."""
    told: set[str] = set()
    while True:
        time.sleep(LOOK_EVERY_S)
        for name, death in stack.dead_watchers().items():
            if name not in told:
                told.add(name)
                _log(f"{death.message}; the rest goes on")
        try:
            stack.check()
        except StackDied as death:
            _log(f"{death}\ntaking the rest down")
            private(place / "ended", f"{datetime.now(UTC).isoformat(timespec='seconds')} {death.message}\n")
            return 1


@contextmanager
def _sole(place: Path) -> Iterator[None]:
    """Hold the lock. AlreadyUp when somebody else does."""
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    with (place / "holder").open("a+") as lock:
        bound = time.monotonic() + LOCK_BOUND_S
        while not _locked(lock):
            if time.monotonic() > bound:
                raise AlreadyUp(f"a stack is up in {place}", hint="make stack-down")
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(f"{os.getpid()} {started_at(os.getpid())}")
        lock.flush()
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_with_owner(up: threading.Event) -> None:
    # Not by sys.stdin: at the end the interpreter would want its lock, which a read that waits does not give.
    while os.read(0, 4096):
        pass
    if not up.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _told_to_stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is taking it down
    raise SystemExit(0)


def _log(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()

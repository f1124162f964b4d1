"""A program that starts a tree of processes which are hard to end, and names them.

    python tree.py FOLDER KIND ...

For each kind it leaves FOLDER/<kind>.pid. Kinds: child, orphan (forked twice, in a session of its own),
deaf (ignores every signal that can be ignored), stopped (by SIGSTOP). `deaf-root` makes itself deaf.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    folder, kinds = Path(sys.argv[1]), sys.argv[2:]
    if "deaf-root" in kinds:
        _be_deaf()
    for kind in kinds:
        if kind == "orphan":
            _orphan(folder)
        elif kind != "deaf-root":
            _child(folder, kind)
    _name(folder, "root")
    _sleep()


def _child(folder: Path, kind: str) -> None:
    pid = os.fork()
    if pid == 0:
        if kind == "deaf":
            _be_deaf()
        _name(folder, kind)
        if kind == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        _sleep()


def _orphan(folder: Path) -> None:
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            _be_deaf()
            _name(folder, "orphan")
            _sleep()
        os._exit(0)
    os.waitpid(middle, 0)


def _be_deaf() -> None:
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, SIGSTOP
            signal.signal(number, signal.SIG_IGN)


def _name(folder: Path, kind: str) -> None:
    draft = folder / f".{kind}"
    draft.write_text(str(os.getpid()))
    draft.rename(folder / f"{kind}.pid")


def _sleep() -> None:
    time.sleep(600)
    os._exit(0)


if __name__ == "__main__":
    main()

"""An owner of processes, to be killed: starts trees under wardens, says so, and waits for its end.

    python -m tests.environments.owner FOLDER KIND ...

SIGINT is noted (FOLDER/interrupted) and nothing else is done about it; SIGTERM stops the tree and ends.
"""

import signal
import sys
import time
from pathlib import Path

from environments.process import Process

TREE = Path(__file__).with_name("tree.py")
# Writes down each signal that it gets, and ends at SIGTERM.
LISTENER = """
import os, pathlib, signal, sys, time
def heard(number, _frame):
    with open('heard', 'a') as file:
        print(signal.Signals(number).name, file=file)
    if number == signal.SIGTERM:
        sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, heard)
pathlib.Path('.listener').write_text(str(os.getpid()))
pathlib.Path('.listener').rename('listener.pid')
while True:
    time.sleep(600)
"""


def main() -> None:
    folder, kinds = Path(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGINT, lambda *_: (folder / "interrupted").touch())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tree = Process.start(
        "tree", [sys.executable, TREE, folder, *kinds], log=folder / "logs" / "tree.log", cwd=folder
    )
    listener = Process.start(
        "listener", [sys.executable, "-c", LISTENER], log=folder / "logs" / "listener.log", cwd=folder
    )
    try:
        while True:
            time.sleep(600)
    finally:
        listener.stop()
        tree.stop(grace_s=0.2)


if __name__ == "__main__":
    main()

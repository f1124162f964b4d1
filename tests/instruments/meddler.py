"""`python -m tests.instruments.meddler HOW -- COMMAND...`: between near and far, and lets frames through.

HOW: `alter` makes a 200 of the journal a 201 on its way, `drop` loses the piece in which that one is.
"""

from __future__ import annotations

import os
import subprocess
import sys

from instruments.remote.frames import Frame, Incoming, Kind, send

OK = b'"status":200'


def main() -> int:
    how, _, *command = sys.argv[1:]
    done = False
    with subprocess.Popen(command, stdin=sys.stdin.fileno(), stdout=subprocess.PIPE) as far:
        assert far.stdout is not None
        incoming = Incoming(far.stdout.fileno())
        while not incoming.ended:
            for frame in incoming.read():
                if frame.kind is Kind.DATA and OK in frame.content and not done:
                    done = True
                    if how == "drop":
                        continue
                    frame = Frame(Kind.DATA, frame.content.replace(OK, b'"status":201', 1))
                send(sys.stdout.fileno(), frame)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

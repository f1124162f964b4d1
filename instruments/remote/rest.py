"""`python -m instruments.remote.rest`: what a load Pod does while nobody sends from it. SIGTERM ends it.

As the first process of a container it needs a handler: without one the kernel gives it no SIGTERM.
"""

from __future__ import annotations

import signal
import sys


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    signal.sigwait((signal.SIGTERM, signal.SIGINT))
    return 0


if __name__ == "__main__":
    sys.exit(main())

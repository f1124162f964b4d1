"""`python -m deploy.simulator`."""

import asyncio
import sys

from .server import serve
from .settings import read_settings
from .timer import precise_loop


def main() -> int:
    """Run one simulator; returns its exit status."""
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        return runner.run(serve(read_settings()))


if __name__ == "__main__":
    sys.exit(main())

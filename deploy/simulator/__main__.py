"""`python -m deploy.simulator`."""

import sys

from .server import serve
from .settings import read_settings


def main() -> int:
    """Run one simulator; returns its exit status."""
    return serve(read_settings())


if __name__ == "__main__":
    sys.exit(main())

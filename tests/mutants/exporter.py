"""The GPU exporter with one fault in it: python -m tests.mutants.exporter --fault NAME [its own arguments]

NAME is a key of PATCHES, as of tests.mutants.gateway.
"""

from __future__ import annotations

import sys

from tests.mutants.gateway import patch


def main() -> int:
    """Plant, then be the exporter."""
    _, option, name, *rest = sys.argv
    if option != "--fault":
        raise SystemExit(__doc__)
    patch(name)()
    sys.argv = ["exporter", *rest]
    from deploy.exporter.__main__ import main as exporter  # after the patch, which may change what it imports

    return exporter()


if __name__ == "__main__":
    sys.exit(main())

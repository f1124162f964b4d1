"""The gateway with one fault in it: python -m tests.mutants.gateway --fault NAME [its own arguments]

NAME is a key of PATCHES, a dict of functions that change modules of deploy.gateway before its main runs, in
one of tests/mutants/patches/*.py. Of these only a module that writes the name in quotes is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "patches"

Patch = Callable[[], None]


def patch(name: str) -> Patch:
    """The patch called `name`. Raises LookupError unless there is exactly one."""
    modules = [path.stem for path in sorted(FOLDER.glob("[!_]*.py")) if f'"{name}"' in path.read_text()]
    patches = (import_module(f"tests.mutants.patches.{module}").PATCHES for module in modules)
    found: list[Patch] = [each[name] for each in patches if name in each]
    if len(found) != 1:
        raise LookupError(f"expected one patch called {name} in {FOLDER}/*.py; seen: {len(found)}")
    return found[0]


def main() -> int:
    """Plant, then be the gateway."""
    _, option, name, *rest = sys.argv
    if option != "--fault":
        raise SystemExit(__doc__)
    patch(name)()
    sys.argv = ["gateway", *rest]
    from deploy.gateway.__main__ import main as gateway  # after the patch, which may change what it imports

    return gateway()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m reports`: pages of a run, and what many runs say together. Nothing is started.

`python -m reports RUN_FOLDER` makes the page of a run again; a first word that is one of COMMANDS does
what that says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from instruments.errors import SloError
from reports.cli import page
from reports.exit_codes import VerdictExit

COMMANDS: dict[str, ModuleType] = {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS.get(given[0]) if given else None
    parser = _parser(given[0] if command else None)
    module = command or page
    module.add_arguments(parser)
    options = parser.parse_args(given[1:] if command else given)
    try:
        return int(module.run(options))
    except SloError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line speaks here
        return VerdictExit.UNREADABLE


def _parser(command: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m reports {command}" if command else "python -m reports",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


if __name__ == "__main__":
    sys.exit(main())

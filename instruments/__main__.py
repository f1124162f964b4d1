"""`python -m instruments COMMAND`: the measuring core by hand. A command is imported when it is asked for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from instruments.errors import SloError
from instruments.spawn import spawn

# name -> (module, what it does). A module has `add_arguments(parser)` and `run(options) -> int`.
COMMANDS = {
    "run": ("instruments.cli.run", "put a load on a server and print what came of it"),
    "calibrate": ("instruments.calibration.cli", "print this client's error on a server of known timing"),
    "ab": ("instruments.cli.ab", "compare two servers, interleaved, until their difference is decided"),
    "capacity": ("instruments.cli.capacity", "find the highest load at which objectives hold"),
    "compare": ("instruments.cli.compare", "compare saved runs with a baseline, or with other runs"),
    "objectives": (
        "instruments.cli.objectives",
        "check files of objectives, turn them into OpenSLO and back",
    ),
    "rules": ("instruments.cli.rules", "make Prometheus rules and Grafana thresholds of objectives"),
    "show": ("instruments.cli.show", "print the summary of a journal again"),
}
USAGE_ERROR = 2
INTERRUPTED = 130


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, options: argparse.Namespace) -> int:
        """Returns the exit status. SloError is printed, and its status is 2."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # A load's process takes as long to get ready as this one does: both do so at once.
    spawned = spawn() if words[:1] == ["run"] and not {"-h", "--help"} & set(words) else None
    try:
        command, options = _understood(words)
        options.spawned = spawned
        return command.run(options)
    except SloError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line speaks here
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough; nothing more can be said there, nor at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE_ERROR
    finally:
        if spawned is not None:
            spawned.end()


def _understood(words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command that is named, imported alone; argparse's own exit (2) when none is."""
    parser = argparse.ArgumentParser(prog="python -m instruments", description="The measuring core, by hand.")
    names = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((word for word in words if not word.startswith("-")), None)
    command: Command | None = None
    for name, (module, what) in COMMANDS.items():
        told = f"{what[0].upper()}{what[1:]}."
        one = names.add_parser(name, help=what, description=told, allow_abbrev=False)
        if name == asked:
            command = import_module(module)
            command.add_arguments(one)
    options = parser.parse_args(words)
    assert command is not None  # noqa: S101 - argparse has left otherwise
    return command, options


if __name__ == "__main__":
    sys.exit(main())

"""`python -m reports`: pages of a run, and what many runs say together. Nothing is started.

`python -m reports RUN_FOLDER` makes the page of a run again; a first word that is one of COMMANDS does
what that says.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from instruments.errors import SloError
from reports.cli import page
from reports.exit_codes import VerdictExit


class Command(Protocol):
    """What a module of `reports.cli` has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int: ...


# First word -> what it does; its module is reports.cli.<word>.
COMMANDS = {
    "list": "the runs below a folder, newest first",
    "compare": "two runs side by side: states, values, differences with their intervals",
    "trend": "one value over many runs, and whether it drifted",
    "prune": "remove the records of old runs; their verdicts stay",
    "export": "a run's verdict in another format: Markdown, JUnit, CTRF, JSON",
    "notify": "send a run's verdict to a webhook",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given and given[0] in COMMANDS else None
    parser = _parser(name)
    module = command(name) if name else cast("Command", page)
    module.add_arguments(parser)
    if name is None:
        parser.usage = "%(prog)s RUN_FOLDER [options]\n       %(prog)s COMMAND …"
        parser.epilog = f"{_commands()}\n{parser.epilog or ''}"
    options = parser.parse_args(given[1:] if name else given)
    try:
        return int(module.run(options))
    except SloError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line speaks here
        return VerdictExit.UNREADABLE
    except BrokenPipeError:  # `| head` has read enough; nothing more can be said there, nor at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def command(name: str) -> Command:
    """The module of a command, imported alone: `list` needs none of what draws a page."""
    return cast("Command", import_module(f"reports.cli.{name}"))


def _commands() -> str:
    wide = max(map(len, COMMANDS))
    told = [f"  {name:<{wide}}  {what}" for name, what in COMMANDS.items()]
    close = "  `python -m reports COMMAND --help` says more; the folder of a run that is called so is ./list"
    return "\n".join(["commands:", *told, close, ""])


def _parser(name: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m reports {name}" if name else "python -m reports",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


if __name__ == "__main__":
    # Millions of records without a cycle among them: to look for cycles took longer than to draw them.
    gc.set_threshold(50_000, 10, 1_000_000)
    status = main()
    gc.freeze()
    sys.exit(status)

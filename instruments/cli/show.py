"""`python -m instruments show JOURNAL`: the summary of a run again, from what it wrote."""

from __future__ import annotations

import argparse
from pathlib import Path

from instruments.cli.summary import say
from instruments.journal import load_run, whole_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "journal",
        type=Path,
        metavar="JOURNAL.jsonl",
        help="of a run; of several processes, the run's name or any one's",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")


def run(options: argparse.Namespace) -> int:
    """Returns what `run` returned: 0 all completed, 1 not all, 3 void."""
    journal = whole_run(options.journal)
    return say(load_run(journal), journal, as_json=options.json)

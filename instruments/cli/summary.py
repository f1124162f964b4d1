"""What is said of a run when it is over, and the exit status that goes with it."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from pathlib import Path

from instruments.cli.document import document
from instruments.cli.table import table
from instruments.records import LoadRun
from instruments.statistics import RunSummary, summarize


class Exit(IntEnum):
    """Exit statuses; 2 (an option, a file, a server) comes from the errors themselves."""

    COMPLETED = 0
    INCOMPLETE = 1
    VOID = 3


def say(run: LoadRun, journal: Path, *, as_json: bool) -> Exit:
    """Print the summary of a run on standard output; returns the status that it deserves."""
    summary = summarize(run)
    encoding = sys.stdout.encoding or "utf-8"
    if as_json:
        escaped = encoding.lower() not in ("utf-8", "utf8")
        text = json.dumps(document(run, summary, journal), indent=2, ensure_ascii=escaped)
    else:
        text = table(run, summary, journal)
    # A server's words may hold what the stream's encoding does not.
    print(text.encode(encoding, "replace").decode(encoding))  # noqa: T201 - a command line speaks here
    return status(summary)


def status(summary: RunSummary) -> Exit:
    """Void comes first: of a disturbed run, failures are no news either."""
    if summary.void:
        return Exit.VOID
    if summary.errors or not summary.due or not summary.complete or summary.problems:
        return Exit.INCOMPLETE
    return Exit.COMPLETED

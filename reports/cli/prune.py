"""`python -m reports prune`: remove the records of old runs; their verdicts stay."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from instruments.errors import ConfigurationError
from reports import wording
from reports.cli.arguments import count
from reports.exit_codes import VerdictExit
from reports.history.retention import KEEP, RECORDS, Plan, Prunable, left, plan_prune, prune
from reports.history.text import columns, say, size

HEAD = ("when (UTC)", "run", "frees", "of")
EPILOG = f"""\
Removed of a run: {", ".join(RECORDS[:7])},
  {", ".join(RECORDS[7:])}.
What stays: run.json, fingerprint.json, verdict.json, the pages, and whatever else was put there, so that
list, compare and trend go on. The page of such a run cannot be made again, nor its records judged again.

Never touched: the run that `latest` names, the newest N, one begun less than a day ago that is not finished,
one without a verdict.json that list can read, one that holds a file {KEEP}, and whatever a link points to.

exit codes:
  0  done, or nothing to do, or not confirmed
  2  the folder cannot be looked into, something could not be removed, or nobody is there to ask

examples:
  python -m reports prune --keep 30 --dry-run
  python -m reports prune results --keep 10 --days 14 --yes
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Remove the records of old runs: journals, logs, Allure results. Verdicts stay."
    parser.epilog = EPILOG
    add = parser.add_argument
    add("directory", type=Path, nargs="?", default=Path("results"), metavar="DIR", help="(default: results)")
    add("--keep", type=count, required=True, metavar="N", help="the newest N runs stay whole")
    add("--days", type=count, metavar="D", help="and all that began within the last D days")
    add("--dry-run", action="store_true", help="say what would go, and remove nothing")
    add("--yes", action="store_true", help="do not ask; needed where there is no terminal")


def run(options: argparse.Namespace) -> int:
    """Prune after a confirmation; returns the exit code."""
    now = datetime.now(UTC)
    plan = plan_prune(options.directory, options.keep, options.days, now)
    say("\n".join(_lines(plan)))
    if options.dry_run or not plan.prunable:
        return VerdictExit.MET
    if not options.yes and not _confirmed(plan):
        say("nothing was removed")
        return VerdictExit.MET
    failed = [why for one in plan.prunable for why in prune(one, now)]
    freed = size(plan.size - left(plan.prunable))
    say(f"freed {freed} of {wording.many(len(plan.prunable), 'run')}")
    for why in failed:
        print(why, file=sys.stderr)  # noqa: T201 - a command line speaks here
    return VerdictExit.UNREADABLE if failed else VerdictExit.MET


def _confirmed(plan: Plan) -> bool:
    """Ask who sits there; ConfigurationError where nobody does."""
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "nothing was removed: there is nobody to ask", expected="a terminal, or --yes", hint="--dry-run"
        )
    runs = wording.many(len(plan.prunable), "run")
    return input(f"remove the records of {runs}, {size(plan.size)}? [y/N] ").strip().lower() in ("y", "yes")


def _lines(plan: Plan) -> list[str]:
    lines = [f"stays: {name}: {why}" for name, why in plan.stays.items()]
    if not plan.prunable:
        return [*lines, "nothing to remove"]
    total = f"{wording.many(len(plan.prunable), 'run')}, {size(plan.size)}"
    return [*columns(HEAD, [_row(one) for one in plan.prunable], (2,)), *lines, f"to remove: {total}"]


def _row(one: Prunable) -> tuple[str, ...]:
    when = f"{one.run.started:%Y-%m-%d %H:%M}" if one.run.started else wording.UNDEFINED
    return when, one.run.name, size(one.size), ", ".join(path.name for path in one.records)

"""`python -m reports RUN_FOLDER`: the page of a run, made again from its records; no stack, no GPU."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from instruments.errors import ConfigurationError
from instruments.results import RunFolder
from instruments.slo.objective import load_objectives
from reports import terminal
from reports.document import verdict_document
from reports.history import Since, find_since
from reports.history.retention import PRUNED
from reports.model import SessionReport, read_report
from reports.page import write_page

EPILOG = """\
exit codes:
  0  the page was written (with --exit-code: every required objective is MET)
  2  the folder, the objectives or the output cannot be used (with --exit-code also: interrupted)
with --exit-code:
  1  a claim failed or ended in error
 10  a required objective is violated
 11  a required objective is inconclusive: the data cannot tell
 12  nothing was measured

examples:
  python -m reports results/latest
  python -m reports results/latest --objectives stricter.yaml --output stricter.html --exit-code
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make the page of a run from its records, and judge it again. Nothing is started."
    parser.epilog = EPILOG
    parser.add_argument(
        "folder", type=Path, metavar="RUN_FOLDER", help="a folder below results/, or a link to one"
    )
    parser.add_argument(
        "--objectives",
        type=Path,
        metavar="FILE",
        help="judge these objectives (YAML) instead of the session's own, each on the loads of its workload",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page (default: RUN_FOLDER/report.html)"
    )
    parser.add_argument("--exit-code", action="store_true", help="exit with the verdict, not with 0")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON instead of lines")


def run(options: argparse.Namespace) -> int:
    """Write the page; returns the exit code."""
    _refuse_pruned(options.folder)
    report = _read(options.folder, options.objectives)
    output = _output(options.output, options.folder)
    since = find_since(report)
    write_page(report, output, since)
    _write_verdict(report, since)
    try:
        _say(report, output, since, as_json=options.json)
    except BrokenPipeError:  # `| head` has read enough; nothing more can be said there, nor at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return report.exit_code if options.exit_code else 0


def _refuse_pruned(folder: Path) -> None:
    """A page of what is left would read as a run that lost its records, and replace the one that tells it."""
    pruned = RunFolder(folder).read_document(PRUNED)
    if pruned is not None:
        raise ConfigurationError(
            f"{folder} cannot be judged again: its records were removed by prune",
            expected="a run with its journals",
            seen=f"{PRUNED} of {pruned.get('at')}",
            hint="its report.html and verdict.json are what is left; list, compare and trend know it",
        )


def _read(folder: Path, objectives: Path | None) -> SessionReport:
    if objectives is None:
        return read_report(folder)
    return read_report(folder, load_objectives(objectives), objectives_from=objectives.name)


def _output(output: Path | None, folder: Path) -> Path:
    """Where the page goes. Only pages are written: never a file that holds measurements."""
    if output is None:
        return folder / "report.html"
    if output.suffix not in (".html", ".htm"):
        raise ConfigurationError(
            f"--output {output} is not a page", expected="a name that ends in .html", seen=output.name
        )
    return output


def _write_verdict(report: SessionReport, since: Since | None) -> None:
    """verdict.json, where the session left none; other objectives' verdict is not the session's."""
    files = RunFolder(report.folder)
    if report.objectives_from is None and not (report.folder / "verdict.json").exists():
        files.write_document("verdict.json", verdict_document(report, since))


def _say(report: SessionReport, page: Path, since: Since | None, *, as_json: bool) -> None:
    if as_json:
        text = json.dumps(verdict_document(report, since), indent=2, ensure_ascii=False)
    else:
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        colour = sys.stdout.isatty() and not plain
        text = "\n".join(terminal.lines(report, colour, page=page, width=terminal.fitting()))
    print(text, flush=True)  # noqa: T201 - a command line speaks here

"""`python -m reports export RUN_FOLDER`: the verdict in a format that another machine reads."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from instruments.errors import ConfigurationError
from reports.history import find_since
from reports.model import read_report
from reports.written import FILES, FORMATS, write_whole

_JOURNAL = ".jsonl"  # wherever it lies: what was measured is written over by nothing
EPILOG = """\
formats:
  markdown  for a pull request or the summary of a job
  junit     XML of test cases, for the CI system's own page of tests
  ctrf      JSON of test cases, in the Common Test Report Format
  json      the verdict as verdict.json holds it

exit codes:
  0  it was written, whatever the verdict
  2  the folder or the output cannot be used

examples:
  python -m reports export results/latest --format markdown >> "$GITHUB_STEP_SUMMARY"
  python -m reports export results/latest --format junit --output junit.xml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Judge a run from its records again, and say it in another format."
    parser.epilog = EPILOG
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="a folder below results/, or a link")
    parser.add_argument("--format", required=True, choices=sorted(FORMATS), help="see below")
    parser.add_argument("--output", type=Path, metavar="FILE", help="a file (default: the terminal)")


def run(options: argparse.Namespace) -> int:
    """Say it; returns the exit code."""
    if options.output is not None:
        _check(options.output)
    report = read_report(options.folder)
    text = FORMATS[options.format](report, find_since(report))
    if options.output is not None:
        write_whole(options.output, text)
        return 0
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; nothing more can be said there, nor at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _check(output: Path) -> None:
    if output.suffix == _JOURNAL or _is_kept(output.resolve()):
        raise ConfigurationError(
            f"--output {output} is a file of measurements",
            expected="a file of its own, or one of those that are made of a run anew",
            seen=output.name,
            hint=f"in a run's folder: {', '.join(FILES)}",
        )
    if output.is_dir():
        raise ConfigurationError(f"--output {output} is a folder", expected="the name of a file")


def _is_kept(output: Path) -> bool:
    """Whether it is there, in the folder of a run, and none of the files that are made of it."""
    inside = any((folder / "run.json").is_file() for folder in output.parents)
    return inside and output.is_file() and output.name not in FILES

"""`python -m reports notify RUN_FOLDER`: the verdict told to a webhook."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from reports.model import read_report
from reports.notify import FORMATS, address_of, body_of, checked_link, link_of_build, post

EPILOG = """\
The URL of a webhook is a secret: it is read from the environment, and never shown. Sent are the verdict, its
reason, counts of objectives and claims, and a link: fewer than 4,096 bytes, by https (http to this machine).

exit codes:
  0  the webhook took it, whatever the verdict
  2  it did not, or the folder, the variable or the link cannot be used

example:
  python -m reports notify results/latest --url-env SLACK_WEBHOOK --link https://ci.example/artefacts/17
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Tell a webhook the verdict of a run, judged from its records again."
    parser.epilog = EPILOG
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="a folder below results/, or a link")
    parser.add_argument(
        "--url-env", required=True, metavar="VARIABLE", help="the environment variable that holds its URL"
    )
    parser.add_argument(
        "--link", metavar="URL", help="where the page can be read (default: the job, where a CI tells)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="slack",
        help="slack (default): a text, which Mattermost reads too; json: fields as in verdict.json",
    )


def run(options: argparse.Namespace) -> int:
    """Tell it; returns the exit code."""
    url = address_of(options.url_env, os.environ)
    link = checked_link(options.link) or link_of_build(os.environ)
    status = post(url, body_of(read_report(options.folder), options.format, link))
    print(f"the webhook in ${options.url_env} took the verdict: HTTP {status}")  # noqa: T201 - a command speaks
    return 0

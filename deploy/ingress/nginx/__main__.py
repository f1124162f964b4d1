"""`python -m deploy.ingress.nginx render --settings FILE [--nginx PROGRAM] [--output FILE]`

Writes the whole nginx.conf for these settings, and for what that nginx can do (where none is named: Debian
12's).
Exit status: 0 written, 2 the settings cannot be used (stderr says which field and why).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.ingress.nginx.rendering import Nginx, ask, render
from deploy.ingress.nginx.settings import SettingsError, load


def main() -> int:
    """Render once."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ingress.nginx", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    rendered = commands.add_parser("render", help="write nginx.conf")
    rendered.add_argument("--settings", type=Path, required=True, metavar="FILE")
    rendered.add_argument("--nginx", metavar="PROGRAM", help="the nginx that it is for, asked what it can do")
    rendered.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    given = parser.parse_args()
    try:
        settings = load(given.settings)
        text = render(settings, ask(given.nginx) if given.nginx else Nginx())
    except (SettingsError, OSError, ValueError) as error:
        print(f"deploy.ingress.nginx: {given.settings}:\n{error}", file=sys.stderr)
        return 2
    if given.output is None:
        print(text, end="")
    else:
        given.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

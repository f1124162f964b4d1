"""The page: one self-contained HTML file, written whole; no network, no script."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from instruments.errors import JournalError
from instruments.statistics.indicators import INDICATORS
from reports import wording
from reports.history import Since
from reports.model import SessionReport
from reports.page.room import FULL, LEAN, MOST_BYTES
from reports.page.strip import WIDTH, strip
from reports.page.view import view

TEMPLATES = Path(__file__).parent / "templates"


def write_page(report: SessionReport, path: Path, since: Since | None = None) -> None:
    """Write the report's page, beside earlier runs where given. JournalError when the disk refuses."""
    page = render(report, since)
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise JournalError(
            f"cannot write {path}",
            expected="a folder that is there, room on the disk and the right to write there",
            seen=error.strerror or str(error),
            hint="choose another file with --output",
        ) from error


def render(report: SessionReport, since: Since | None = None) -> str:
    """The page as text: below 2 MB, with less of everything that can be long where it would not be."""
    template = _environment().get_template("report.html")
    page = template.render(**view(report, since, FULL))
    return page if len(page.encode()) <= MOST_BYTES else template.render(**view(report, since, LEAN))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"say": wording, "indicators": INDICATORS, "strip": strip, "strip_width": WIDTH}
    return environment

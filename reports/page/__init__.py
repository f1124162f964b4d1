"""The page: one self-contained HTML file, written whole; no network, no script."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from instruments.errors import JournalError
from instruments.statistics.indicators import INDICATORS
from reports import wording
from reports.model import SessionReport
from reports.page.strip import WIDTH, strip
from reports.page.view import view

TEMPLATES = Path(__file__).parent / "templates"


def write_page(report: SessionReport, path: Path) -> None:
    """Write the report's page. JournalError when the disk refuses."""
    page = render(report)
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


def render(report: SessionReport) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"say": wording, "indicators": INDICATORS, "strip": strip, "strip_width": WIDTH}
    return environment.get_template("report.html").render(**view(report))

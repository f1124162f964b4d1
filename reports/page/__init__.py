"""The page: one self-contained HTML file, written whole; no network, no script."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from instruments.errors import JournalError
from instruments.statistics.indicators import INDICATORS
from reports import wording
from reports.history import Since
from reports.model import SessionReport
from reports.page.room import BARE, FULL, LEAN, MOST_BYTES, cut
from reports.page.strip import WIDTH, strip
from reports.page.view import fitted, fixed

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
    names, page = fixed(report, since), b""
    for room in (FULL, LEAN, BARE):
        # Half a character, as a server or a log may send it, is shown as a question mark.
        page = template.render(**names, **fitted(report, room)).encode("utf-8", "replace")
        if len(page) <= MOST_BYTES:
            break
    return page.decode()


@pass_context
def _shortened(context: Context, value: object) -> object:
    """Every text on its way into the page, but for what is markup already."""
    return cut(value, context["longest"]) if type(value) is str else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shortened,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"say": wording, "indicators": INDICATORS, "strip": strip, "strip_width": WIDTH}
    return environment

"""All that is written of a judged run, each file whole and by itself: one that fails costs no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruments.errors import JournalError, SloError
from reports.ctrf import ctrf
from reports.document import verdict_document
from reports.junit import junit
from reports.markdown import markdown
from reports.model import SessionReport
from reports.page import render

if TYPE_CHECKING:
    from reports.history import Since

Make = Callable[[SessionReport, "Since | None"], str]


def _document(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Make] = {
    "json": lambda report, since: _document(verdict_document(report, since)),
    "markdown": markdown,
    "junit": lambda report, _: junit(report),
    "ctrf": lambda report, _: _document(ctrf(report)),
}
# What is small and decides comes first: a disk that fills up takes the page, and not the verdict.
FILES: dict[str, Make] = {
    "verdict.json": FORMATS["json"],
    "summary.md": FORMATS["markdown"],
    "junit.xml": FORMATS["junit"],
    "ctrf.json": FORMATS["ctrf"],
    "report.html": render,
}


def write_all(
    report: SessionReport,
    since: Since | None = None,
    *,
    told: Callable[[SloError], None] | None = None,
) -> list[Path]:
    """Write every file of FILES into the run's folder; returns those that were written.

    `told` is called with the error of each that could not be; without it, the first is raised when all have
    been tried.
    """
    written: list[Path] = []
    failed: list[SloError] = []
    for name, make in FILES.items():
        path = report.folder / name
        try:
            write_whole(path, _made(name, make, report, since))
        except SloError as error:
            failed.append(error)
        else:
            written.append(path)
    for lost in failed:
        if told is None:
            raise lost
        told(lost)
    return written


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one; JournalError when the disk refuses.

    Half of a surrogate pair, which UTF-8 has no bytes for, is spelled as JSON does.
    """
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")
        draft.replace(path)
    except OSError as error:
        _remove(draft)
        raise JournalError(
            f"cannot write {path}",
            expected="a folder that is there, room on the disk and the right to write there",
            seen=error.strerror or str(error),
            hint="free some space, or choose another folder",
        ) from error


def _made(name: str, make: Make, report: SessionReport, since: Since | None) -> str:
    try:
        return make(report, since)
    except Exception as error:  # a mistake of ours in one page: the others are worth more than the crash
        raise JournalError(
            f"{name} could not be made", seen=f"{type(error).__name__}: {error}", hint="please report it"
        ) from error


def _remove(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)  # half a page on a full disk helps nobody
    except OSError:
        return

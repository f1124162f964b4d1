"""What may be in a page, and how much: text of any kind and length stays text, and below 2 MB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from instruments.errors import JournalError
from instruments.results import IncidentRecord
from instruments.slo import State
from reports import page as pages
from reports.model import read_report
from reports.page import render, write_page
from reports.page.room import FULL
from tests.reports.markup import Page
from tests.reports.runs import RunBuilder, answered, even_load, failed, law, objective

HOSTILE = '<script>alert("x")</script><img src=https://evil.example/x onerror=alert(1)>'


def test_hostile_text_stays_text(run: RunBuilder) -> None:
    journal = run.load("chat-10", [*(answered(i, 10) for i in range(60)), failed(60, HOSTILE)])
    run.judge(journal, objective(id=HOSTILE, description=HOSTILE))
    run.claim("error", f"suites/{HOSTILE}.py::t", title=HOSTILE, reason=HOSTILE, detail=HOSTILE)
    run.claim("skipped", reason=HOSTILE)
    run.folder.append_incident(IncidentRecord("now", HOSTILE, HOSTILE, HOSTILE))
    run.folder.write_document("fingerprint.json", {HOSTILE: HOSTILE})
    run.session(
        run_id=HOSTILE, environment=HOSTILE, notes=(HOSTILE,), command=(HOSTILE,), exit_reason=HOSTILE
    )
    page = Page(render(read_report(run.folder.path)))
    assert {"script", "img"}.isdisjoint(page.tags)
    assert page.handlers == []
    assert page.faults == []
    assert page.text.count("<script>") > 10


def test_a_large_run_stays_below_2_mb_and_says_what_it_left_out(run: RunBuilder) -> None:
    for number in range(40):
        run.load(f"load-{number:02d}", even_load())
    for number in range(200):
        run.claim("failed", f"suites/a.py::test_{number}", reason="no", detail="E" * 50_000)
    text = render(read_report(run.session(exit_code=1).folder.path))
    assert len(text.encode()) < 2_000_000
    # 260,000 bytes for details; of each are shown 6,000, and a line of 31 that says what is left out.
    assert text.count("44,000 characters left out") == 43
    assert "Details of 157 further claims" in text
    # 6 rows stand open, 150 are folded.
    assert "194 further tests that did not pass" in text
    assert "44 more tests in claims.jsonl" in text


def test_a_page_that_would_be_too_large_has_less_of_everything(
    met: RunBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        met.claim("failed", f"suites/a.py::test_{number}", reason="no", detail=f"the end of {number}.")
    report = read_report(met.session(exit_code=1).folder.path)
    assert Page(render(report)).text.count("the end of") == 30
    monkeypatch.setattr(pages, "MOST_BYTES", len(render(report)) - 1)
    text = Page(render(report)).text
    assert text.count("the end of") == 12
    assert "Details of 18 further claims" in text


def test_a_page_stays_below_2_mb_however_long_anything_in_it_is(run: RunBuilder) -> None:
    """60,000 characters, most of which take five in a page, wherever a server or a test may put them."""
    long = 'x<&"' * 15_000
    journal = run.load("chat-10", [*even_load(), failed(100, long)], asked=long)
    run.server("chat-10", problems=(long,) * 5)
    for number in range(40):
        run.judge(journal, objective(id=f"o-{number}", description=long))
        run.folder.append_law(law(State.INCONCLUSIVE, law=f"l-{number}", reason=f"{number}{long}", seen=long))
        run.claim("failed", f"suites/a.py::t{number}[{long}]", title=long, reason=long, detail=long)
        run.claim("skipped", f"suites/b.py::t{number}[{long}]", reason=f"{number}{long}")
        run.claim("passed", f"suites/c.py::t{number}[{long}]", title=long)
    run.session(exit_code=1, exit_reason=long, engine=long, notes=(long,) * 9, command=("pytest", long))
    text = render(read_report(run.folder.path))
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    assert page.faults == []
    assert "characters left out" in page.text
    assert "No. What was claimed of the stack failed, or could not be checked." in page.text


def test_half_a_character_is_shown_as_a_question_mark(run: RunBuilder) -> None:
    run.claim("failed", reason="read \udcff", detail="said \ud800").session(exit_code=1)
    text = Page(render(read_report(run.folder.path))).text
    assert "read ? details said ?" in text


def test_of_many_objectives_those_that_are_not_listed_are_counted(
    run: RunBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FULL", replace(FULL, objectives_open=10, objectives_folded=5))
    journal = run.load("chat-10", even_load())
    for number in range(26):
        run.judge(journal, objective(id=f"o-{number}"))
    text = Page(render(read_report(run.claim("passed").session().folder.path))).text
    assert "16 further objectives, all met" in text
    assert "11 more objectives in verdict.json" in text


def test_a_page_is_written_whole_or_not_at_all(met: RunBuilder, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(read_report(met.folder.path), path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.glob("*.new")) == []
    with pytest.raises(JournalError, match="cannot write"):
        write_page(read_report(met.folder.path), tmp_path / "nowhere" / "report.html")

"""All files of a run, each whole and by itself, and the same again by `python -m reports export`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from environments.binaries import ROOT
from instruments.errors import JournalError, SloError
from reports import written
from reports.__main__ import main
from reports.document import verdict_document
from reports.history import find_since
from reports.junit import junit
from reports.markdown import markdown
from reports.model import SessionReport, read_report
from reports.page import render
from reports.written import FILES, write_all, write_whole
from tests.reports.runs import RunBuilder

NAMES = ["verdict.json", "summary.md", "junit.xml", "ctrf.json", "report.html"]


def broken(_: SessionReport, __: object) -> str:
    raise ZeroDivisionError("a mistake of ours")


@pytest.fixture(autouse=True)
def _light_page(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The page has tests of its own, and takes its time."""
    if "whole_page" not in request.fixturenames:
        monkeypatch.setitem(FILES, "report.html", lambda report, _: f"<!doctype html>{report.reason}")


@pytest.fixture
def whole_page() -> None:
    """Asks for the real page."""


@pytest.mark.usefixtures("whole_page")
def test_the_page_is_one_of_them(met: RunBuilder) -> None:
    report = read_report(met.folder.path)
    assert len(write_all(report, find_since(report))) == len(NAMES)
    assert (met.folder.path / "report.html").read_text("utf-8") == render(report)


def test_all_files_are_written_the_small_ones_first(met: RunBuilder) -> None:
    report = read_report(met.folder.path)
    assert write_all(report) == [met.folder.path / name for name in NAMES]
    text = {name: (met.folder.path / name).read_text("utf-8") for name in NAMES}
    assert json.loads(text["verdict.json"]) == json.loads(json.dumps(verdict_document(report)))
    assert text["summary.md"] == markdown(report)
    assert text["junit.xml"] == junit(report)
    assert json.loads(text["ctrf.json"])["reportFormat"] == "CTRF"
    assert text["report.html"].lower().startswith("<!doctype html>")
    assert not list(met.folder.path.glob("*.new"))


@pytest.mark.parametrize("name", NAMES)
def test_one_that_cannot_be_made_costs_no_other(
    met: RunBuilder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(FILES, name, broken)
    told: list[SloError] = []
    made = write_all(read_report(met.folder.path), told=told.append)
    assert [path.name for path in made] == [one for one in NAMES if one != name]
    (error,) = told
    assert str(error).startswith(
        f"{name} could not be made\n  seen:     ZeroDivisionError: a mistake of ours"
    )


def test_one_that_cannot_be_written_costs_no_other_and_leaves_the_old_one(met: RunBuilder) -> None:
    folder = met.folder.path
    (folder / "junit.xml").write_text("old")
    (folder / "junit.xml.new").mkdir()  # nobody can write there, not even root
    with pytest.raises(JournalError, match="cannot write") as caught:
        write_all(read_report(folder))
    assert caught.value.seen == "Is a directory"
    assert (folder / "junit.xml").read_text() == "old"
    assert all((folder / name).exists() for name in NAMES)


def test_each_failure_is_told(met: RunBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES, "summary.md", broken)
    monkeypatch.setitem(FILES, "ctrf.json", broken)
    told: list[SloError] = []
    assert len(write_all(read_report(met.folder.path), told=told.append)) == 3
    assert [one.message for one in told] == ["summary.md could not be made", "ctrf.json could not be made"]


def test_no_half_of_a_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(draft: Path, text: str, **_: object) -> int:
        draft.write_bytes(text.encode()[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(JournalError) as caught:
        write_whole(tmp_path / "page.html", "a page")
    assert caught.value.seen == "No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_half_of_a_surrogate_pair_costs_no_file(met: RunBuilder) -> None:
    met.claim("failed", "suites/\ud800.py::t", reason="half \ud800 of it").session(exit_code=1)
    assert len(write_all(read_report(met.folder.path))) == len(NAMES)
    Xml.parse(met.folder.path / "junit.xml")  # noqa: S314 - made here
    reasons = [
        one.get("message")
        for one in json.loads((met.folder.path / "ctrf.json").read_text())["results"]["tests"]
    ]
    assert reasons == [None, "half \ud800 of it"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("markdown", "summary.md"), ("junit", "junit.xml"), ("ctrf", "ctrf.json"), ("json", "verdict.json")],
)
def test_export_says_what_the_file_of_the_run_says(
    met: RunBuilder, capfdbinary: pytest.CaptureFixture[bytes], kind: str, name: str
) -> None:
    write_all(read_report(met.folder.path))
    assert main(["export", str(met.folder.path), "--format", kind]) == 0
    said = capfdbinary.readouterr().out
    assert said == (met.folder.path / name).read_bytes()
    target = met.folder.path.parent / "target.out"
    assert main(["export", str(met.folder.path), "--format", kind, "--output", str(target)]) == 0
    assert target.read_bytes() == said


def test_export_says_a_verdict_and_is_none(run: RunBuilder) -> None:
    run.claim("failed").session(exit_code=1)
    assert main(["export", str(run.folder.path), "--format", "junit"]) == 0


@pytest.mark.parametrize(
    "name", ["run.json", "claims.jsonl", "loads/chat-10.jsonl", "loads/chat-10.server.json", "logs/engine"]
)
def test_export_writes_over_nothing_that_was_measured(
    met: RunBuilder, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = met.folder.path / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text("measured")
    before = path.read_bytes()
    code = main(["export", str(met.folder.path), "--format", "json", "--output", str(path)])
    assert code == 2
    assert "a file of measurements" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_export_of_no_run_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--format", "json"]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err


def test_who_reads_only_the_head_is_no_error(met: RunBuilder) -> None:
    command = f"{sys.executable} -m reports export {met.folder.path} --format json | head -c 1"
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{", b"")


def test_every_file_is_of_a_known_format() -> None:
    assert list(FILES) == NAMES
    assert set(written.FORMATS) == {"json", "markdown", "junit", "ctrf"}

"""`python -m reports`: what it writes, what it prints, how it exits, what it never touches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reports.__main__ import main
from tests.reports.runs import RunBuilder, even_load, failed, objective

ROOT = Path(__file__).parents[2]
STRICTER = """\
objectives:
  - {id: stricter, description: d, workload: chat, indicator: ttft_s, statistic: p95, at_most: 0.5}
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_the_page_and_the_missing_verdict_and_leaves_what_was_measured(
    met: RunBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(met.folder.path)
    assert main([str(met.folder.path)]) == 0
    after = contents(met.folder.path)
    assert set(after) - set(before) == {"report.html", "verdict.json"}
    assert {name: after[name] for name in before} == before
    assert capsys.readouterr().out.startswith("MET  run run-1")


def test_it_never_writes_over_the_sessions_verdict(met: RunBuilder) -> None:
    met.folder.write_document("verdict.json", {"mine": True})
    assert main([str(met.folder.path)]) == 0
    assert met.folder.read_document("verdict.json") == {"mine": True}


def test_the_exit_code_is_the_verdicts_only_when_asked(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [failed(index) for index in range(60)]), objective())
    folder = str(run.claim("failed").session(exit_code=10).folder.path)
    assert main([folder]) == 0
    assert main([folder, "--exit-code"]) == 10


def test_other_objectives_are_judged_and_not_stored_as_the_sessions(
    met: RunBuilder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stricter.yaml").write_text(STRICTER)
    page = tmp_path / "stricter.html"
    arguments = [str(met.folder.path), "--objectives", str(tmp_path / "stricter.yaml")]
    assert main([*arguments, "--output", str(page), "--exit-code", "--json"]) == 10
    document = json.loads(capsys.readouterr().out)
    assert (document["objectives"][0]["bad"], document["objectives_from"]) == (50, "stricter.yaml")
    assert "Judged later, with the objectives of" in page.read_text(encoding="utf-8")
    assert not (met.folder.path / "verdict.json").exists()
    assert not (met.folder.path / "report.html").exists()


@pytest.mark.parametrize("name", ["run.json", "loads/chat-10.jsonl", "claims.jsonl"])
def test_an_output_that_is_no_page_is_refused(
    met: RunBuilder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(met.folder.path)
    assert main([str(met.folder.path), "--output", str(met.folder.path / name)]) == 2
    assert contents(met.folder.path) == before
    assert "is not a page" in capsys.readouterr().err


def test_a_link_to_the_latest_run_is_followed(met: RunBuilder) -> None:
    latest = met.folder.path.parent / "latest"
    latest.symlink_to(met.folder.path.name)
    assert main([str(latest)]) == 0
    assert "python -m reports results/run-1" in (met.folder.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["no folder", "no objectives", "no room for the page"])
def test_what_cannot_be_used_is_one_clear_message(
    met: RunBuilder, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, nowhere = str(met.folder.path), str(tmp_path / "nowhere")
    arguments = {
        "no folder": [nowhere],
        "no objectives": [folder, "--objectives", nowhere],
        "no room for the page": [folder, "--output", f"{nowhere}/x.html"],
    }[what]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert "nowhere" in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("finished", "code"), [(True, 12), (False, 12)], ids=["an empty run", "a run killed before any journal"]
)
def test_a_run_without_journals_still_gets_its_page(run: RunBuilder, finished: bool, code: int) -> None:
    run.session() if finished else run.session(finished_at=None, exit_code=None)
    assert main([str(run.folder.path), "--exit-code"]) == code
    assert (run.folder.path / "report.html").is_file()


def test_the_help_says_what_each_exit_code_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(f"\n {code}  " in told for code in (" 0", " 1", " 2", "10", "11", "12"))


def test_importing_the_room_is_cheap() -> None:
    rooms = "reports.page, reports.terminal, reports.allure_files.facts"
    code = f"import sys, {rooms}; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_a_reader_who_has_read_enough_is_no_error(met: RunBuilder) -> None:
    """The pipe is closed before the first line is written to it."""
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-W", "error", "-m", "reports", str(met.folder.path), "--json", "--exit-code"]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            argv, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert (met.folder.path / "report.html").is_file()


def test_it_runs_as_a_program(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session()
    argv = [sys.executable, "-W", "error", "-m", "reports", str(run.folder.path), "--exit-code"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("report.html\n")

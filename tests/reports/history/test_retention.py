"""Retention: what goes, what never goes, and that history goes on afterwards."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from instruments.errors import JournalError
from instruments.results import RunFolder
from reports.__main__ import main
from reports.history.retention import plan_prune
from tests.reports.history.shelves import objective, put

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
STAYS = {"run.json", "verdict.json", "fingerprint.json", "report.html", "notes.txt"}


def run(folder: Path, day: int, **changes: Any) -> Path:
    """A run with records: 3,000 bytes in all."""
    path = put(folder, day, [objective(1.0)], **changes)
    for name in ("loads/a.jsonl", "logs/engine.log", "allure/x-result.json"):
        (path / name).parent.mkdir()
        (path / name).write_bytes(b"x" * 900)
    (path / "claims.jsonl").write_bytes(b"x" * 300)
    for name in STAYS - {"run.json", "verdict.json"}:
        (path / name).write_text("{}")
    return path


def names(folder: Path, keep: int = 0, days: float | None = None, now: datetime = NOW) -> list[str]:
    return [one.run.name[6:8] for one in plan_prune(folder, keep, days, now).prunable]


def test_records_go_and_what_history_is_told_from_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = run(tmp_path, 1), run(tmp_path, 2)
    before = {path: path.read_bytes() for path in new.rglob("*") if path.is_file()}
    assert main(["prune", str(tmp_path), "--keep", "1", "--yes"]) == 0
    assert {path.name for path in old.iterdir()} == STAYS | {"pruned.json"}
    assert {path: path.read_bytes() for path in new.rglob("*") if path.is_file()} == before
    assert "freed 2.93 KiB of 1 run" in capsys.readouterr().out  # 3,000 / 1,024
    assert main(["compare", str(old), str(new)]) == 0
    assert main(["prune", str(tmp_path), "--keep", "1", "--yes"]) == 0
    assert capsys.readouterr().out.endswith("nothing to remove\n")


def test_a_dry_run_removes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = run(tmp_path, 1)
    assert main(["prune", str(tmp_path), "--keep", "0", "--dry-run"]) == 0
    assert "to remove: 1 run, 2.93 KiB" in capsys.readouterr().out
    assert (old / "loads" / "a.jsonl").exists()
    assert not (old / "pruned.json").exists()


def test_the_newest_stay_and_those_of_the_last_days(tmp_path: Path) -> None:
    for day in range(1, 7):
        run(tmp_path, day)
    assert names(tmp_path, keep=2) == ["01", "02", "03", "04"]
    # On the 20th at 06:00 the run of the 3rd is 17 days old to the second, and that is not older than 17.
    assert names(tmp_path, keep=2, days=17) == ["01", "02"]
    assert names(tmp_path, keep=99) == []


def test_what_never_goes(tmp_path: Path) -> None:
    kept, latest, torn = run(tmp_path, 1), run(tmp_path, 2), run(tmp_path, 3)
    (kept / "KEEP").touch()
    (tmp_path / "latest").symlink_to(latest.name)
    (torn / "verdict.json").unlink()
    broken = run(tmp_path, 4)
    (broken / "run.json").write_text("{")
    run(tmp_path, 19, session={"finished_at": None})
    plan = plan_prune(tmp_path, 0, None, NOW)
    # The 19th at 06:00 is a day ago to the second: what is not finished since then will not be any more.
    assert [one.run.name[6:8] for one in plan.prunable] == ["19"]
    whys = {name[6:8]: why for name, why in plan.stays.items()}
    assert whys["01"] == "holds a file KEEP"
    assert whys["02"] == "it is the latest"
    assert whys["03"].endswith(
        f"no verdict.json that can be read; python -m reports {torn} makes it from the journals"
    )
    assert whys["04"].startswith("no run.json that can be read")


@pytest.mark.parametrize("verdict", ['{"schema": 1}', '{"schema": 2}', "{}"])
def test_a_run_whose_verdict_history_cannot_read_stays_whole(verdict: str, tmp_path: Path) -> None:
    (run(tmp_path, 1) / "verdict.json").write_text(verdict)
    plan = plan_prune(tmp_path, 0, None, NOW)
    (why,) = plan.stays.values()
    assert not plan.prunable
    assert why.startswith("nothing that list can read would be left of it: its verdict.json")


def test_a_full_disk_is_freed_and_what_went_is_noted_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, write = run(tmp_path, 1), RunFolder.write_document

    def full(folder: RunFolder, name: str, document: dict[str, Any]) -> None:
        if (old / "loads").exists():
            raise JournalError("cannot write", seen="No space left on device")
        write(folder, name, document)

    monkeypatch.setattr(RunFolder, "write_document", full)
    assert main(["prune", str(tmp_path), "--keep", "0", "--yes"]) == 0
    assert {path.name for path in old.iterdir()} == STAYS | {"pruned.json"}


def test_what_went_and_could_not_be_noted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise JournalError("cannot write pruned.json", seen="No space left on device")

    run(tmp_path, 1)
    monkeypatch.setattr(RunFolder, "write_document", full)
    assert main(["prune", str(tmp_path), "--keep", "0", "--yes"]) == 2
    assert "cannot write pruned.json: No space left on device" in capsys.readouterr().err


def test_a_link_that_names_itself_is_no_latest(tmp_path: Path) -> None:
    run(tmp_path, 1)
    (tmp_path / "latest").symlink_to("latest")
    assert names(tmp_path) == ["01"]


def test_an_unfinished_run_stays_for_a_day(tmp_path: Path) -> None:
    run(tmp_path, 19, session={"finished_at": None})
    almost = plan_prune(tmp_path, 0, None, NOW - timedelta(seconds=1))
    assert list(almost.stays.values()) == ["not finished, and begun less than a day ago"]
    assert names(tmp_path) == ["19"]


def test_links_are_neither_followed_nor_counted(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.jsonl").write_text("mine")
    results = tmp_path / "results"
    path = run(results, 1)
    (path / "trials").symlink_to(outside)
    (path / "loads" / "linked").symlink_to(outside)
    elsewhere = run(tmp_path / "elsewhere", 1)
    (results / "20261105T060000Z-linked-0001").symlink_to(elsewhere)
    (one,) = plan_prune(results, 0, None, NOW).prunable
    assert [path.name for path in one.records] == ["loads", "logs", "allure", "claims.jsonl"]
    assert main(["prune", str(results), "--keep", "0", "--yes"]) == 0
    assert (outside / "precious.jsonl").read_text() == "mine"
    assert (elsewhere / "loads" / "a.jsonl").exists()
    assert (path / "trials").is_symlink()
    assert not (path / "loads").exists()


def test_without_a_terminal_it_takes_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = run(tmp_path, 1)
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        assert main(["prune", str(tmp_path), "--keep", "0"]) == 2
    assert "there is nobody to ask" in capsys.readouterr().err
    assert (old / "loads").exists()


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("", False), ("no", False)])
def test_on_a_terminal_it_asks(
    answer: str,
    goes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = run(tmp_path, 1)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []

    def answered(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("builtins.input", answered)
    assert main(["prune", str(tmp_path), "--keep", "0"]) == 0
    assert asked == ["remove the records of 1 run, 2.93 KiB? [y/N] "]
    assert (not (old / "loads").exists()) is goes


def test_what_cannot_be_removed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = run(tmp_path, 1)

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    assert main(["prune", str(tmp_path), "--keep", "0", "--yes"]) == 2
    told = capsys.readouterr()
    assert "freed 300 B of 1 run" in told.out
    assert f"cannot remove {old / 'loads'}: Operation not permitted" in told.err


def test_the_page_of_a_pruned_run_is_not_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = run(tmp_path, 1)
    (old / "report.html").write_text("as it was")
    assert main(["prune", str(tmp_path), "--keep", "0", "--yes"]) == 0
    assert main([str(old)]) == 2
    assert (old / "report.html").read_text() == "as it was"
    assert "its records were removed" in capsys.readouterr().err

"""Runs of other time zones, folders that nobody may look into, verdicts with numbers that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.__main__ import main
from tests.reports.history.shelves import objective, put


def test_times_of_other_zones_are_told_in_utc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eastern = {"started_at": "2026-11-02T01:30:00+02:00", "finished_at": "2026-11-02T01:31:00+02:00"}
    run = put(tmp_path, 2, [objective(1.0)], session=eastern)
    for command_line in (
        ["list", str(tmp_path)],
        ["trend", "ttft_s", "--results", str(tmp_path)],
        ["compare", str(run), str(run)],
    ):
        main(command_line)
        assert "2026-11-01 23:30" in capsys.readouterr().out, command_line[0]


def test_a_folder_that_nobody_may_look_into_is_listed_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, 1, [objective(1.0)])
    (tmp_path / "of-root").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "of-root")
    assert main(["list", str(tmp_path)]) == 0
    assert "unreadable: of-root: no run.json that can be read" in capsys.readouterr().out


def test_a_verdict_with_a_number_that_is_none_is_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, 1, [objective(float("nan"))])
    main(["list", str(tmp_path)])
    assert "a finite number or null, got nan" in capsys.readouterr().out

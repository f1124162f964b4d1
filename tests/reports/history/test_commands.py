"""`python -m reports list | compare | trend`: what they print, refuse and exit with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reports.__main__ import COMMANDS, command, main
from tests.reports.history.shelves import FINGERPRINT, objective, put

NEWER = FINGERPRINT | {"engine.version": "vllm 0.32.0"}


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_every_command_has_a_module_and_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert callable(command(name).run)
        with pytest.raises(SystemExit) as left:
            main([name, "--help"])
        assert left.value.code == 0
        assert f"usage: python -m reports {name} " in capsys.readouterr().out


def test_the_help_tells_the_pages_options_and_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert "python -m reports RUN_FOLDER" in told
    assert "--objectives FILE" in told
    assert [name for name in COMMANDS if f"\n  {name} " not in told] == []


def test_a_folder_called_like_a_command_is_meant_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["./list"]) == 2
    assert "list is not the folder of a run" in capsys.readouterr().err


def test_list_tells_each_run_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, 1, [objective(1.0, state="VIOLATED"), objective(1.0, id="b")], state="VIOLATED", gate=True)
    put(tmp_path, 2, session={"environment": "eks", "engine": "simulator"}, simulated=True)
    assert main(["list", str(tmp_path)]) == 0
    head, newest, oldest = lines(capsys)
    assert head.split()[:3] == ["when", "(UTC)", "run"]
    cells = [
        "2026-11-02",
        "06:00",
        "20261102T060000Z-local-0002",
        "eks",
        "simulator",
        "MET",
        "(simulated)",
        "–",
    ]
    assert newest.split()[:8] == cells
    told = "VIOLATED (gate)  1 of 2         3 of 3  1 min 30 s"
    assert told in oldest


def test_list_knows_the_bytes_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, 1)
    before = sum((path / name).stat().st_size for name in ("run.json", "verdict.json"))
    (path / "loads").mkdir()
    (path / "loads" / "a.jsonl").write_bytes(b"x" * 5000)
    (path / "elsewhere").symlink_to("/usr")
    assert main(["list", str(tmp_path), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["bytes"] == before + 5000


def test_list_names_what_cannot_be_read_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, 1)
    (put(tmp_path, 2) / "verdict.json").write_text('{"schema": 2, "run_id"')
    (put(tmp_path, 3) / "run.json").write_text("[]")
    put(tmp_path, 4, schema=1)
    put(tmp_path, 5, objectives=[{"id": "torn"}])
    put(tmp_path, 6, session={"started_at": "yesterday"}, started_at="yesterday")
    put(tmp_path, 7, session={"finished_at": None})
    (tmp_path / "by-hand").mkdir()
    assert main(["list", str(tmp_path)]) == 0
    told = lines(capsys)
    rows = [row for row in told[1:] if "-local-" in row and not row.startswith("unreadable")]
    assert ["unreadable" in row for row in rows] == [False, True, True, True, False, True, True]
    assert "not finished" not in rows[0]
    # Newest first, and last those whose run.json tells no time.
    assert [row.split("Z-local-")[1][:4] for row in rows] == [
        "0007",
        "0005",
        "0004",
        "0002",
        "0001",
        "0003",
        "0006",
    ]
    assert [row for row in told if "another version (schema 1)" in row] == [
        "unreadable: 20261104T060000Z-local-0004: its verdict.json is of another version (schema 1)"
    ]
    assert not any("by-hand" in row for row in told)


def test_a_run_that_goes_on_is_not_called_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (put(tmp_path, 1, session={"finished_at": None}) / "verdict.json").unlink()
    assert main(["list", str(tmp_path)]) == 0
    _, row = lines(capsys)
    assert row.split()[4:7] == ["vllm", "not", "finished"]


def test_list_of_one_environment_and_of_the_newest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(1, 6):
        put(tmp_path, day, session={"environment": "eks" if day % 2 else "local"})
    assert main(["list", str(tmp_path), "--environment", "eks", "--limit", "2"]) == 0
    told = lines(capsys)
    assert [row.split()[2] for row in told[1:3]] == [
        "20261105T060000Z-local-0005",
        "20261103T060000Z-local-0003",
    ]
    assert told[3] == "the newest 2 of 3 runs; --limit 0 lists all"


def test_list_of_500_runs_is_quick(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = put(tmp_path, 1)
    run, verdict = ((first / name).read_text() for name in ("run.json", "verdict.json"))
    for number in range(500):
        path = tmp_path / f"run-{number:03d}"
        path.mkdir()
        (path / "run.json").write_text(run)
        (path / "verdict.json").write_text(verdict)
    began = time.process_time()
    assert main(["list", str(tmp_path)]) == 0
    # 0.1 s of a processor where it was made, with verdicts of 140 kB; the bound is for far slower ones.
    assert time.process_time() - began < 5
    assert lines(capsys)[-1] == "the newest 20 of 501 runs; --limit 0 lists all"


@pytest.mark.parametrize("arguments", [["list", "nowhere"], ["trend", "ttft_s", "--results", "nowhere"]])
def test_a_folder_that_is_not_there_is_said(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert "cannot look into nowhere" in capsys.readouterr().err


def test_compare_tells_states_values_and_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = put(tmp_path, 1, [objective(0.1, 0.097, 0.108)])
    two = put(tmp_path, 2, [objective(0.12, 0.114, 0.125, state="VIOLATED")])
    assert main(["compare", str(one), str(two)]) == 0
    told = capsys.readouterr().out
    assert "MET → VIOLATED" in told
    # Limit 1.2 s: the row is in seconds. 0.02 less 0.01, and more 0.00583.
    assert "0.1 s [0.097, 0.108]" in told
    assert "+0.02 s [+0.01, +0.02583]  +20 %  worse" in told
    assert "of 1 interval, 0.05 would leave zero out by chance" in told
    assert "Two single runs tell only what their own requests leave to chance" in told
    assert "python -m instruments compare --baseline" in told


def test_compare_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = put(tmp_path, 1, [objective(0.1, 0.097, 0.108)])
    two = put(tmp_path, 2, [objective(0.12, 0.114, None)])
    assert main(["compare", str(one), str(two), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (change,) = document["objectives"]
    assert change["low"] == pytest.approx(0.01)
    assert (change["high"], change["tells"], change["confidence"]) == (None, "worse", 0.95)
    assert document["loads"][0]["after"]["output_tokens_per_s"] == 640.0


def test_compare_refuses_unlike_runs_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = put(tmp_path, 1), put(tmp_path, 2, fingerprint=NEWER)
    assert main(["compare", str(one), str(two)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "engine.version: 'vllm 0.31.0', 'vllm 0.32.0'" in told.err
    assert main(["compare", str(one), str(two), "--across", "engine.*"]) == 0


@pytest.mark.parametrize("broken", ["no folder", "no verdict"])
def test_compare_refuses_what_tells_no_verdict(
    tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = put(tmp_path, 1), put(tmp_path, 2)
    (two / "verdict.json").unlink()
    assert main(["compare", str(one), str(tmp_path / "none" if broken == "no folder" else two)]) == 2
    expected = "is not a run's folder" if broken == "no folder" else "makes it from the journals"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "code", "move"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], 10, "WORSE"),
        ([1.5, 1.4, 1.3, 1.2, 1.1, 1.0], 0, "BETTER"),
        ([1.0, 1.2, 1.1, 1.2, 1.0, 1.1], 0, "STEADY"),
        ([1.0, 1.1, 1.2, 1.3, 1.4], 11, "NOT ENOUGH"),
    ],
)
def test_trend_exits_with_what_it_found(
    values: list[float], code: int, move: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day, value in enumerate(values, 1):
        put(tmp_path, day, [objective(value)])
    assert main(["trend", "ttft_s", "--results", str(tmp_path)]) == code
    told = capsys.readouterr().out
    assert told.startswith(f"{move}  chat.ttft  TTFT p95 (chat), limit ≤ 1.2 s  (local)\n")
    with pytest.raises(SystemExit):
        main(["trend", "--help"])
    assert f"\n  {code:>2}  " in capsys.readouterr().out


def test_trend_follows_the_newest_runs_of_the_newest_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(1, 9):
        put(tmp_path, day, [objective(float(day))], session={"environment": "eks" if day > 1 else "local"})
    assert main(["trend", "chat.ttft", "--results", str(tmp_path), "--runs", "6", "--json"]) == 10
    document = json.loads(capsys.readouterr().out)
    (series,) = document["series"]
    assert (document["environment"], [one["value"] for one in series["points"]]) == (
        "eks",
        [3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
    )
    assert series["slow"]["p"] == pytest.approx(2 / 720)


def test_two_series_share_the_rate_of_false_alarms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(1, 7):
        put(tmp_path, day, [objective(1.0), objective(1.0, id="b")])
    assert main(["trend", "ttft_s", "--results", str(tmp_path), "--json"]) == 0
    # 5 % over two series, and of each one half for either test.
    assert [one["level"] for one in json.loads(capsys.readouterr().out)["series"]] == [0.0125, 0.0125]


def test_trend_of_what_nobody_tells_names_what_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, 1, [objective(1.0)])
    assert main(["trend", "tfft_s", "--results", str(tmp_path)]) == 2
    assert "ttft_s, chat.ttft" in capsys.readouterr().err


def test_trend_names_neighbours_that_it_could_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, 1, [objective(1.0)])
    (put(tmp_path, 2, [objective(1.0)]) / "verdict.json").write_text("{")
    assert main(["trend", "ttft_s", "--results", str(tmp_path)]) == 11
    assert "not read: 20261102T060000Z-local-0002: no verdict.json" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    put(tmp_path, 1)
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "reports", "list", str(tmp_path)],
            stdout=write,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            timeout=120,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")

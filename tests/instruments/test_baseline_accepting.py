"""What may enter a baseline, and what `compare --accept` returns where nothing was compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instruments.clock import ClockAnchor
from instruments.errors import ConfigurationError
from instruments.journal import Journal
from instruments.records import Window
from instruments.slo.baseline import Baseline, Reading, SavedLoad, SavedRun, first_baseline, runs_beside
from instruments.slo.regression import judge_runs
from instruments.statistics.comparison import Change
from instruments.trials.saved import read_baseline
from tests.instruments.shapes import CALM
from tests.instruments.test_baseline_files import MS, ONE, done, saved


def run(name: str, doubt: str | None = None) -> SavedRun:
    return SavedRun(name, {}, {"chat": SavedLoad({"ttft_s p50": Reading(-2.3, 0.01, 200, 0)}, doubt)})


GOOD = [run("a"), run("b"), run("c")]


@pytest.mark.parametrize("doubt", ["the client used 99 % of a core", "cut off"])
def test_a_run_that_does_not_count_enters_neither_the_anchor_nor_the_latest(doubt: str) -> None:
    bad, full = run("bad", doubt), first_baseline(GOOD, "t0")
    accepts: list[Callable[[], Baseline]] = [
        lambda: first_baseline([*GOOD, bad], "t0"),
        lambda: first_baseline(GOOD[:1], "t0").accepting([bad], "t1"),
        lambda: full.accepting([bad], "t1"),
        lambda: full.rebased([bad], "t1", "a reason"),
    ]
    for accept in accepts:
        with pytest.raises(ConfigurationError) as refused:
            accept()
        assert f"the run bad cannot be accepted: its load chat does not count: {doubt}" in str(refused.value)


def test_a_run_that_measured_nothing_enters_nothing() -> None:
    with pytest.raises(ConfigurationError, match="nothing was measured"):
        first_baseline([SavedRun("empty", {}, {"chat": SavedLoad({})})], "t0")


def test_runs_that_are_only_compared_with_leave_it_open_where_one_does_not_count() -> None:
    regression = judge_runs(runs_beside([*GOOD, run("bad", "cut off")]), [run("d")])
    assert regression.change is Change.INCONCLUSIVE
    assert "bad does not count: cut off" in regression.reason


def test_the_first_runs_are_accepted_and_it_is_said_that_nothing_was_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "main.json"
    assert done(saved(tmp_path / "a", 50.0), "--baseline", file, "--accept") == 0
    said = "its first runs: a; accepted, and compared with nothing: 2 more runs are needed to compare"
    assert said in capsys.readouterr().err


def test_runs_that_fill_up_an_anchor_are_accepted_and_are_no_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "main.json"
    assert done(saved(tmp_path / "a", 50.0), "--baseline", file, "--accept") == 0
    assert done(saved(tmp_path / "b", 50.0), "--baseline", file, *ONE, "--accept") == 11
    told = capsys.readouterr()
    assert told.out.startswith("INCONCLUSIVE: how much equal runs differ is not known")
    assert "its first runs: a, b; accepted, and compared with nothing: 1 more runs" in told.err
    assert done(saved(tmp_path / "c", 50.0), "--baseline", file, *ONE, "--accept") == 11
    kept = read_baseline(file)
    assert kept is not None
    assert [one.name for one in kept.anchor.runs] == ["a", "b", "c"]
    capsys.readouterr()
    # From here on it is compared, and only what is good comes in.
    later = [saved(tmp_path / f"d{number}", 50.0) for number in range(5)]
    assert done(*later, "--baseline", file, *ONE, "--tolerance", "0.2", "--accept") == 0
    told = capsys.readouterr()
    assert told.out.startswith("EQUIVALENT")
    assert "its latest runs: d0, d1, d2, d3, d4\n" in told.err


def test_a_run_that_was_cut_off_is_not_accepted_and_the_file_stays(tmp_path: Path) -> None:
    file, stopped = tmp_path / "main.json", saved(tmp_path / "a", 50.0)
    with Journal(stopped / "loads" / "cut.jsonl", "cut", {}, ClockAnchor(0, 0)) as journal:
        journal.end(Window(0, MS), CALM, "20 requests in a row failed")
    move = ["--move-anchor", "a reason"]
    for words in ([], move):
        with pytest.raises(ConfigurationError, match="20 requests in a row failed"):
            done(stopped, "--baseline", file, "--accept", *words)
        assert not file.exists()
    assert done(saved(tmp_path / "b", 50.0), "--baseline", file, "--accept") == 0
    before = file.read_bytes()
    for words in (["--accept"], move):
        with pytest.raises(ConfigurationError, match="the run a cannot be accepted"):
            done(stopped, "--baseline", file, "--across", "loads.*", *words)
    assert file.read_bytes() == before

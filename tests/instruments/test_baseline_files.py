"""`compare` on files: run folders and journals in, a baseline in and out, statuses and refusals."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from instruments.cli import compare
from instruments.clock import ClockAnchor
from instruments.errors import ConfigurationError
from instruments.journal import Journal
from instruments.records import Outcome, Phase, RequestRecord, Window
from instruments.trials.saved import read_baseline, read_run
from tests.instruments.shapes import CALM

MS = 1_000_000
ONE = ("--figure", "ttft_s p50")


def saved(folder: Path, ttft_ms: float, *, seed: int = 0, failed: int = 0, **fingerprint: str) -> Path:
    """A run's folder, with one load of 200 requests about this TTFT, and what it was run on."""
    random = Random(f"{folder.name}{seed}")
    (folder / "loads").mkdir(parents=True)
    known = {"engine.version": "0.32", "engine.flags": f"--port {random.randint(1, 60_000)}"} | {
        name.replace("__", "."): value for name, value in fingerprint.items()
    }
    (folder / "fingerprint.json").write_text(json.dumps(known))
    description: dict[str, Any] = {"workload": {"id": "chat"}, "workload_sha256": "w1", "model": "tiny"}
    with Journal(folder / "loads" / "chat.jsonl", "chat", description, ClockAnchor(0, 0)) as journal:
        for number in range(200):
            due = number * 100 * MS
            first = due + round(ttft_ms * random.uniform(0.9, 1.1) * MS)
            journal.append(
                RequestRecord(number, f"r{number}", 0, Phase.MEASURED, Outcome.FAILED, due, due)
                if number < failed
                else RequestRecord(
                    number, f"r{number}", 0, Phase.MEASURED, Outcome.COMPLETED, due, due,
                    first_token_ns=first, last_token_ns=first + MS, done_ns=first + MS, completion_tokens=2,
                )
            )  # fmt: skip
        journal.end(Window(0, 20_000 * MS), CALM, None)
    return folder


def done(*words: object) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    compare.add_arguments(parser)
    return int(compare.run(parser.parse_args([str(word) for word in words])))


@pytest.fixture
def first(tmp_path: Path) -> list[Path]:
    return [saved(tmp_path / f"a{number}", 50.0) for number in range(5)]


def test_from_the_first_runs_to_a_regression(
    tmp_path: Path, first: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "main.json"
    assert done(*first, "--baseline", file, "--accept") == 0
    assert "its first runs: a0, a1, a2, a3, a4" in capsys.readouterr().err
    equal = [saved(tmp_path / f"b{number}", 50.0) for number in range(5)]
    assert done(*equal, "--baseline", file, *ONE) == 0
    assert "EQUIVALENT" in capsys.readouterr().out
    slower = [saved(tmp_path / f"c{number}", 60.0) for number in range(5)]
    before = file.read_bytes()
    assert done(*slower, "--baseline", file, *ONE, "--accept") == 10
    told = capsys.readouterr()
    assert told.out.startswith("WORSE: chat ttft_s p50 against the anchor: slower by more than 5 %")
    assert "5 runs, 0 of 1000 requests failed" in told.out
    assert "not accepted: WORSE" in told.err
    assert file.read_bytes() == before


def test_what_is_accepted_is_the_latest_and_the_anchor_moves_only_for_a_reason(
    tmp_path: Path, first: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "main.json"
    assert done(*first, "--baseline", file, "--accept") == 0
    equal = [saved(tmp_path / f"b{number}", 50.0) for number in range(5)]
    assert done(*equal, "--baseline", file, *ONE, "--accept") == 0
    kept = read_baseline(file)
    assert kept is not None
    assert [run.name for run in kept.anchor.runs] == ["a0", "a1", "a2", "a3", "a4"]
    assert [run.name for run in kept.latest.runs] == ["b0", "b1", "b2", "b3", "b4"]
    slower = [saved(tmp_path / f"c{number}", 60.0) for number in range(3)]
    assert done(*slower, "--baseline", file, "--move-anchor", "larger model") == 0
    moved = read_baseline(file)
    assert moved is not None
    assert moved.anchor.reason == "larger model"
    assert [run.name for run in moved.given_up[0].runs] == ["a0", "a1", "a2", "a3", "a4"]
    capsys.readouterr()


def test_two_runs_are_shown_side_by_side_and_decide_nothing(
    tmp_path: Path, first: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = saved(tmp_path / "b", 60.0)
    assert done(first[0], other, *ONE, "--json") == 11
    told = json.loads(capsys.readouterr().out)
    assert told["change"] == "INCONCLUSIVE"
    assert "2 more are needed" in told["reason"]
    assert told["rows"][0]["value"] == pytest.approx(1.2, rel=0.03)
    assert told["rows"][0]["high"] is None  # unbounded: nobody knows how much two runs differ
    assert done(other, "--reference", *first, *ONE) == 10


def test_failures_count(tmp_path: Path, first: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    failing = [saved(tmp_path / f"b{number}", 50.0, failed=20) for number in range(3)]
    assert done(*failing, "--reference", *first, *ONE, "--figure", "error_share") == 10
    assert "error_share" in capsys.readouterr().out.splitlines()[0]
    down = [saved(tmp_path / f"c{number}", 50.0, failed=150) for number in range(3)]
    assert done(*down, "--reference", *first, *ONE) == 10
    assert "infinite in 3 of 3 runs" in capsys.readouterr().out


def test_unlike_runs_are_refused_unless_the_difference_is_named(tmp_path: Path, first: list[Path]) -> None:
    newer = [saved(tmp_path / f"b{number}", 50.0, engine__version="0.33") for number in range(5)]
    with pytest.raises(ConfigurationError, match=r"engine\.version: '0.33', '0.32'"):
        done(*newer, "--reference", *first, *ONE)
    assert done(*newer, "--reference", *first, *ONE, "--across", "engine.version") == 0


def test_a_journal_alone_is_a_run_and_a_link_is_the_run_that_it_names(first: list[Path]) -> None:
    run = read_run(first[0] / "loads" / "chat.jsonl")
    assert run.fingerprint == {
        "loads.chat.workload_sha256": "w1",
        "loads.chat.model": "tiny",
    }
    assert run.loads["chat"].figures["ttft_s p50"].requests == 200
    link = first[0].parent / "latest"
    link.symlink_to(first[1].name)
    assert read_run(link).name == "a1"


def test_what_cannot_be_read_or_asked_is_refused(tmp_path: Path, first: list[Path]) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for words, told in (
        ((tmp_path / "nothing", first[0]), "is not a run"),
        ((first[0],), "nothing to compare them with"),
        ((*first[:3],), "nothing to compare them with"),
        ((first[0], "--baseline", tmp_path / "none.json"), "there is no baseline"),
        ((first[0], "--baseline", broken), "cannot read"),
        ((first[0], first[1], "--accept"), "need --baseline"),
        ((first[0], first[1], "--figure", "errors"), "this is no comparison"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            done(*words)
        assert told in str(refused.value)

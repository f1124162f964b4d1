"""The benchmark of pages: the run that it makes, and what it says of it. How fast, nobody asserts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.pages import Size, main, make_run
from instruments.journal import load_run
from instruments.results import RunFolder
from instruments.slo import State


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    size = Size(loads=2, requests=30, tokens=5)
    one, two, other = (
        make_run(tmp_path / name, size, seed) for name, seed in (("one", 1), ("two", 1), ("other", 2))
    )
    names = ("loads/chat-000.jsonl", "loads/chat-001.jsonl", "verdicts.jsonl")
    assert [(one / name).read_bytes() for name in names] == [(two / name).read_bytes() for name in names]
    assert all((one / name).read_bytes() != (other / name).read_bytes() for name in names)


def test_the_run_is_of_the_size_that_was_asked_for_and_judged_on_each_load(tmp_path: Path) -> None:
    folder = RunFolder(make_run(tmp_path / "run-1", Size(loads=2, requests=300, tokens=5), seed=3))
    runs = [load_run(path) for path in folder.journals()]
    assert [len(run.records) for run in runs] == [300, 300]
    assert {len(one.chunks_ns) for run in runs for one in run.records} == {5}
    assert all(run.complete and not run.problems for run in runs)
    verdicts = folder.verdicts()
    assert [journal for _, journal, _ in verdicts] == ["loads/chat-000.jsonl"] * 4 + [
        "loads/chat-001.jsonl"
    ] * 4
    assert {verdict.state for verdict, _, _ in verdicts} == {State.MET}


def test_it_prints_size_time_memory_and_goal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pages", "--requests", "200", "--tokens", "3"])
    assert main() == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "one load of 200 requests with 3 tokens"
    assert " s of CPU), " in second
    assert "goal of 10 s and 2 GB" in second
    monkeypatch.setattr(sys, "argv", ["pages", "--loads", "0"])
    with pytest.raises(SystemExit):
        main()

"""What options make of a load and a target, and which of them do not go together."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from instruments.arrivals import Burst, ClosedLoop, Constant, Gamma, Poisson, Ramp, Stage, Stages
from instruments.cli.arguments import add_run_arguments
from instruments.cli.load import ENDLESS, Load, load_of
from instruments.cli.run import _new_journal
from instruments.errors import ConfigurationError
from instruments.workloads.files import FileWorkload
from instruments.workloads.lengths import Uniform
from instruments.workloads.synthetic import SyntheticWorkload

URL = "http://127.0.0.1:8000"


def options(words: str, url: str = URL) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    return parser.parse_args(["--base-url", url, *words.split()])


def load(words: str) -> Load:
    return load_of(options(words), seed=1)


def synthetic(words: str) -> SyntheticWorkload:
    workload = load(words).workload
    assert isinstance(workload, SyntheticWorkload)
    return workload


@pytest.mark.parametrize(
    ("words", "arrivals"),
    [
        ("--requests 5", ClosedLoop(1)),
        ("--users 64 --requests 5", ClosedLoop(64)),
        ("--users 8 --think 1.5 --user-ramp 10 --requests 5", ClosedLoop(8, think_s=1.5, ramp_s=10.0)),
        ("--rate 200 --requests 5", Constant(200.0)),
        ("--rate 200 --arrivals poisson --requests 5", Poisson(200.0)),
        ("--rate 20 --arrivals gamma --burstiness 0.5 --requests 5", Gamma(20.0, 0.5)),
        # Ten at once, so often that five a second are due on average.
        ("--rate 5 --arrivals burst --burst-size 10 --requests 50", Burst(10, every_s=2.0)),
        ("--arrivals ramp --rate 1 --rate-to 9 --duration 10", Ramp(1.0, 9.0, 10.0)),
        (
            "--arrivals ramp --rate 1 --rate-to 9 --duration 10 --ramp-shape exponential --spacing poisson",
            Ramp(1.0, 9.0, 10.0, "exponential", "poisson"),
        ),
        ("--stages 10:2,0:5,50:1", Stages((Stage(10.0, 2.0), Stage(0.0, 5.0), Stage(50.0, 1.0)))),
    ],
)
def test_arrivals(words: str, arrivals: Any) -> None:
    assert load(words).workload.arrivals == arrivals


def test_lengths_counts_and_the_api() -> None:
    workload = synthetic(
        "--users 2 --requests 10 --warmup 3 --api completions --no-stream"
        " --prompt-tokens 8:64 --output-tokens 16"
    )
    assert workload.prompt_tokens == Uniform((8, 64))
    assert workload.output_tokens == 16
    assert (workload.requests_warmup, workload.requests_measured) == (3, 10)
    assert workload.api == "completions"
    assert not workload.stream
    assert load("--users 2 --requests 10 --warmup 3").total == 13


@pytest.mark.parametrize(
    ("words", "total"),
    [
        ("--rate 10 --duration 2", 20),  # at 0, 0.1, … 1.9 s
        ("--rate 10 --duration 2 --warmup 5", 20),
        ("--stages 10:2,0:5,50:1", 70),
        ("--arrivals ramp --rate 1 --rate-to 9 --duration 10", 50),  # (1 + 9) / 2 · 10
        ("--rate 10 --duration 2 --requests 100", 20),
        ("--rate 10 --duration 2 --requests 5 --warmup 2", 7),
        ("--stages 10:2 --requests 5", 5),
        ("--users 4 --duration 2", None),  # as many as they get answered
        ("--users 4 --duration 2 --warmup 3", None),
    ],
)
def test_how_many_requests_a_time_holds(words: str, total: int | None) -> None:
    made = load(words)
    assert made.total == total
    assert total is not None or synthetic(words).requests_measured == ENDLESS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--users 4", "--requests N or --duration S"),
        ("--rate 4", "--requests N or --duration S"),
        ("--users 4 --requests 1 --arrivals poisson", "--arrivals goes with --rate only"),
        ("--rate 4 --requests 1 --think 1", "--think goes with --users only"),
        ("--rate 4 --requests 1 --burstiness 1", "--burstiness goes with another kind of --arrivals only"),
        ("--rate 4 --requests 1 --arrivals gamma", "--arrivals gamma needs --burstiness"),
        ("--arrivals poisson --requests 1", "--arrivals poisson needs --rate"),
        ("--arrivals ramp --rate 1 --rate-to 5", "--arrivals ramp needs --duration"),
        ("--requests 1 --rate-to 5", "--rate-to goes with --rate only"),
        ("--requests 1 --speed 2", "--speed goes with --trace only"),
        ("--trace x.jsonl", "--trace needs --trace-format"),
        (
            "--trace x.jsonl --trace-format jsonl --prompt-tokens 4",
            "--prompt-tokens does not go with --trace",
        ),
        ("--workload x.yaml --users 4", "--users does not go with --workload"),
        ("--workload x.yaml --no-stream", "--no-stream does not go with --workload"),
        ("--rate 10 --duration 1 --warmup 10", "no request to measure"),
        ("--stages 0:5", "at least one stage"),
        ("--stages 5:5 --rate 3", "--stages does not go with --rate"),
        ("--stages 5:5 --users 3", "--stages does not go with --users"),
        ("--stages 5:2 --requests 11", "--requests 11 is more than the arrivals yield"),
        ("--stages 5:2 --requests 8 --warmup 3", "at most 7"),
        (
            "--arrivals ramp --rate 1 --rate-to 9 --duration 10 --requests 51",
            "--requests 51 is more than the arrivals yield",
        ),
        ("--rate 10 --duration 1 --warmup 10 --requests 5", "no request to measure"),
        *(
            (
                f"--trace x --trace-format {name} --users 1 --output-tokens 4",
                "--output-tokens does not go with",
            )
            for name in ("sharegpt", "mooncake", "azure")
        ),
        ("--trace x --trace-format azure --user-ramp 4", "--user-ramp goes with --users only"),
        ("--trace x --trace-format azure --rate 2 --user-ramp 4", "--user-ramp goes with --users only"),
        ("--trace x --trace-format azure --think 4", "--think goes with --users"),
    ],
)
def test_what_does_not_go_together_is_said(words: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(words)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        "--users 0",
        "--users two",
        "--rate 0",
        "--rate nan",
        "--rate inf",
        "--users 1 --rate 1",
        "--prompt-tokens 9:3",
        "--prompt-tokens 0",
        "--stages 10",
        "--stages 10:2,,",
        "--error-share 2",
        "--load-processes many",
        "--metrics-port 70000",
        "--api grpc",
    ],
)
def test_what_cannot_be_read_is_a_usage_error(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        options(words)
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_workload_of_a_catalogs_file(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "workloads:\n"
        "  - {id: one, description: x, requests_measured: 6, output_tokens: 4, users: 2}\n"
        "  - {id: two, description: y, requests_measured: 3, output_tokens: 4, rate_per_s: 3}\n"
    )
    made = load(f"--workload {file}:two")
    assert made.workload.id == "two"
    assert made.workload.arrivals == Constant(3.0)
    assert made.total == 7
    for words, told in ((f"{file}", "more than one workload"), (f"{file}:three", "one of one, two")):
        with pytest.raises(ConfigurationError) as refused:
            load(f"--workload {words}")
        assert told in str(refused.value)


def test_a_trace_is_replayed_or_asked_at_another_pace(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.0000000,100,20\n"
        "2023-11-16 18:15:48.0000000,50,10\n"
        "2023-11-16 18:15:50.5000000,50,10\n"
    )
    words = f"--trace {file} --trace-format azure"
    replayed = load(f"{words} --speed 2")
    assert isinstance(replayed.workload, FileWorkload)
    assert list(replayed.workload.arrivals.due_ns(1)) == [0, 1_000_000_000, 2_250_000_000]  # type: ignore[union-attr]
    assert replayed.total == 3
    assert load(f"{words} --requests 1 --warmup 1").total == 2
    with pytest.raises(ConfigurationError, match="no request to measure"):
        load(f"{words} --warmup 3")
    assert load(f"{words} --duration 2").total == 1
    assert load(f"{words} --users 5").workload.arrivals == ClosedLoop(5)
    assert load(f"{words} --rate 5").workload.arrivals == Constant(5.0)


def test_a_bad_line_of_a_trace_is_said_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text('{"prompt": "hello", "output_tokens": 4}\nnot json\n')
    with pytest.raises(ConfigurationError) as refused:
        load(f"--trace {file} --trace-format jsonl --users 1")
    assert f"{file}:2" in str(refused.value)


@pytest.mark.parametrize("name", ["run.json", "run", "run.1of4.jsonl"])
def test_a_journal_needs_a_runs_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        _new_journal(tmp_path / name)


def test_a_journal_is_new_in_all_its_parts(tmp_path: Path) -> None:
    assert _new_journal(tmp_path / "run.jsonl") == tmp_path / "run.jsonl"
    (tmp_path / "run.2of2.jsonl").touch()
    with pytest.raises(ConfigurationError) as refused:
        _new_journal(tmp_path / "run.jsonl")
    assert "run.2of2.jsonl" in str(refused.value)
    (tmp_path / "other.jsonl").touch()
    with pytest.raises(ConfigurationError):
        _new_journal(tmp_path / "other.jsonl")


def test_without_a_name_each_run_has_a_journal_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {_new_journal(None) for _ in range(5)}
    assert len(names) == 5
    assert {name.parent for name in names} == {Path("results/by-hand")}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--stages x:5", "a stage's rate, 0 or more a second, seen 'x'"),
        ("--stages 10:0", "a stage's seconds, above 0, seen '0'"),
        ("--stages 10", "RATE:SECONDS"),
    ],
)
def test_what_is_wrong_with_a_stage_is_said(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        options(words)
    assert told in capsys.readouterr().err

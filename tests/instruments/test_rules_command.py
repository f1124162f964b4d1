"""`python -m instruments rules`: what it reads, what it refuses, and that its files can be made again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import yaml

from instruments.cli import rules as command
from instruments.errors import ConfigurationError

OBJECTIVES = """\
objectives:
  - {id: ttft, description: d, workload: a, indicator: ttft_s, statistic: p95, at_most: 0.2}
  - {id: gaps, description: d, workload: b, indicator: itl_s, statistic: p99, at_most: 0.05}
  - {id: none, description: d, workload: b, indicator: errors, statistic: count, at_most: 0}
"""


@pytest.fixture
def catalog(tmp_path: Path) -> str:
    (tmp_path / "o.yaml").write_text(OBJECTIVES)
    return str(tmp_path / "o.yaml")


def make(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_rules_go_to_standard_output(catalog: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(catalog) == 0
    said = capsys.readouterr()
    groups = yaml.safe_load(said.out)["groups"]
    assert [group["name"] for group in groups] == [
        "slo:ttft:quick", "slo:ttft:slow", "slo:gaps:quick", "slo:gaps:slow",
    ]  # fmt: skip
    assert said.err == ""


def test_a_file_is_the_same_each_time_and_names_no_folder(catalog: str, tmp_path: Path) -> None:
    for name in ("one.yml", "two.yml"):
        assert make(catalog, "--scale", "10m", "--job", "e 1", "-o", str(tmp_path / name)) == 0
    one = (tmp_path / "one.yml").read_text()
    assert one == (tmp_path / "two.yml").read_text()
    assert one.startswith("# Made by `python -m instruments rules o.yaml --scale 10m --job 'e 1'`:")
    assert str(tmp_path) not in one


def test_what_is_left_out_is_said(catalog: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(catalog, "-o", str(tmp_path / "r.yml")) == 0
    said = capsys.readouterr().err
    # ttft: 2 of the objective, 7 windows × 2 ends, 4 counts; gaps have one end. Alerts: 4 + 1 of each.
    assert said.splitlines()[0].endswith("r.yml: 33 recording rules, 10 alerts")
    assert "left out: none: a count in one run has no budget" in said


@pytest.mark.parametrize("to_a_file", [False, True])
def test_rules_for_another_environment_are_left_out_aloud(
    catalog: str, tmp_path: Path, to_a_file: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(catalog).read_text().replace("at_most: 0.2}", "at_most: 0.2, applies: {environments: [eks]}}")
    Path(catalog).write_text(text)
    output = ("-o", str(tmp_path / "r.yml")) if to_a_file else ()
    told = {
        ("--environment", "nowhere"): "warning: --environment nowhere: no rules for ttft, for eks alone",
        (): "warning: no --environment is given: no rules for ttft, for eks alone",
    }
    for words, said in told.items():
        assert make(catalog, *words, *output) == 0
        assert capsys.readouterr().err.splitlines()[-1] == said
    assert make(catalog, "--environment", "EKS", *output) == 0
    assert "warning" not in capsys.readouterr().err


def test_a_workload_chooses_objectives(catalog: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(catalog, "--workload", "b") == 0
    assert "slo:ttft:" not in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="no objective is on the workload 'c'"):
        make(catalog, "--workload", "c")


def test_the_bounds_of_a_server_are_taken_over(catalog: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = '{"time_to_first_token": [0.1, 0.2, 0.3]}'
    assert make(catalog, "--custom-histogram-buckets", told, "--vllm", "v0.32.1", "--window", "28d") == 0
    said = capsys.readouterr().out
    assert 'le="0.2"' in said
    assert "or rate" not in said
    assert f"--window 28d --vllm v0.32.1 --custom-histogram-buckets '{told}'`" in said.splitlines()[0]


@pytest.mark.parametrize(
    "words",
    [
        ("--scale", "ten"),
        ("--window", "30"),
        ("--vllm", "new"),
        ("--custom-histogram-buckets", "{}["),
        ("--scale", "10m", "--window", "30d"),
    ],
)
def test_options_that_cannot_be_read_are_refused(
    catalog: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        make(catalog, *words)
    assert left.value.code == 2
    assert f"argument {words[-2]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--window", "7d"), "about a month"),
        (("--scale", "20s"), "cannot be scaled to"),
        (("--scrape-interval", "2m"), "too few scrapes"),
        (("-o", "/nowhere/at/all.yml"), "cannot write"),
    ],
)
def test_rules_that_make_no_sense_are_refused(catalog: str, words: tuple[str, ...], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        make(catalog, *words)


def test_a_dashboard_gets_lines_in_place(catalog: str, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    expr = "rate(vllm:time_to_first_token_seconds_bucket[1m])"
    one = {"title": "é", "fieldConfig": {"defaults": {"unit": "s"}}, "targets": [{"expr": expr}]}
    path.write_text(json.dumps({"panels": [one]}))
    for _ in range(2):
        assert make(catalog, "--dashboard", str(path), "-o", str(path)) == 0
        steps = json.loads(path.read_text())["panels"][0]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, 0.2]
    assert "é" in path.read_text()


@pytest.mark.parametrize("text", ["", "[]", '{"panels": {}}', None])
def test_what_is_no_dashboard_is_refused(catalog: str, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "d.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"cannot read|no dashboard"):
        make(catalog, "--dashboard", str(path))

"""`python -m instruments objectives`: what it prints, and what it refuses."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from instruments.cli import objectives as command
from instruments.errors import ConfigurationError
from instruments.slo.objective import load_objectives

OBJECTIVES = """\
objectives:
  - {id: fast, description: d, workload: w, indicator: ttft_s, statistic: p99, at_most: 0.5}
  - id: good
    description: most are good
    workload: w
    indicator: goodput_share
    statistic: share
    at_least: 0.9
    per_request: {ttft_s: 0.2}
    required: false
    applies: {users: [64]}
  - {id: theirs, description: d, workload: w, indicator: server_ttft_s, statistic: p95, at_most: 0.2}
"""
OFF = "0.2 s is no bound of the server's histogram, and nothing else tells; next to it: 0.1 and 0.25"
WORKLOADS = "workloads: [{id: w, description: d, users: 64, requests_measured: 300, output_tokens: 8}]\n"


def run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def objectives(tmp_path: Path) -> Path:
    path = tmp_path / "objectives.yaml"
    path.write_text(OBJECTIVES)
    return path


@pytest.fixture
def workloads(tmp_path: Path) -> Path:
    path = tmp_path / "workloads.yaml"
    path.write_text(WORKLOADS)
    return path


def test_check_says_each_objective_and_what_it_needs(
    objectives: Path, workloads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", objectives, "--workloads", workloads) == 0
    assert capsys.readouterr().out.splitlines() == [
        "fast: TTFT p99 ≤ 0.5 s, required; needs 299 requests",
        "good: goodput share ≥ 0.9, advisory; needs 29 requests",
        f"theirs: server TTFT p95 ≤ 0.2 s, required; needs 59 requests; only roughly: {OFF}",
    ]


def test_check_refuses_a_load_that_is_too_small(objectives: Path, workloads: Path) -> None:
    workloads.write_text(WORKLOADS.replace("300", "298"))
    with pytest.raises(
        ConfigurationError, match=r"objectives\[0\] \(fast\): TTFT p99 ≤ 0.5 s can never be met"
    ):
        run("check", objectives, "--workloads", workloads)


def test_check_refuses_users_that_the_load_has_not(objectives: Path, workloads: Path) -> None:
    workloads.write_text(WORKLOADS.replace("users: 64", "users: 4"))
    assert run("check", objectives) == 0  # nobody said of what load
    with pytest.raises(ConfigurationError, match=r"objectives\[1\] \(good\): applies\.users: .* other users"):
        run("check", objectives, "--workloads", workloads)


def test_check_says_how_many_requests_an_open_end_takes(
    objectives: Path, workloads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objectives.write_text(OBJECTIVES.replace("statistic: p99", "statistic: p95"))
    workloads.write_text(
        WORKLOADS.replace("requests_measured: 300", "requests_measured: 9, requests_most: 122")
    )
    assert run("check", objectives, "--workloads", workloads) == 0
    assert capsys.readouterr().out.splitlines()[0] == "fast: TTFT p95 ≤ 0.5 s, required; needs 122 requests"
    workloads.write_text(workloads.read_text().replace("122", "121"))
    with pytest.raises(ConfigurationError, match="at least 122 measured requests"):
        run("check", objectives, "--workloads", workloads)


def test_check_refuses_a_limit_that_no_bucket_tells(
    objectives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objectives.write_text(
        OBJECTIVES.replace("statistic: p95, at_most: 0.2}", "statistic: p95, at_most: 5000}")
    )
    with pytest.raises(
        ConfigurationError, match=r"objectives\[2\] \(theirs\): .* beyond the last finite bound"
    ):
        run("check", objectives)
    bounds = '{"time_to_first_token": [1, 5000]}'
    assert run("check", objectives, "--custom-histogram-buckets", bounds) == 0
    assert "roughly" not in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="--custom-histogram-buckets of the engine cannot be read"):
        run("check", objectives, "--custom-histogram-buckets", "[")


def test_a_file_of_no_objective_is_refused(objectives: Path) -> None:
    objectives.write_text("objectives: []")
    for kind in ("check", "openslo"):
        with pytest.raises(ConfigurationError, match="no objective"):
            run(kind, objectives)


def test_check_refuses_a_load_that_nobody_knows(objectives: Path, workloads: Path) -> None:
    workloads.write_text(WORKLOADS.replace("id: w", "id: v"))
    with pytest.raises(ConfigurationError, match=r"objectives\[0\] \(fast\)\.workload: unknown workload 'w'"):
        run("check", objectives, "--workloads", workloads)


def test_check_looks_across_files(objectives: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        OBJECTIVES.replace("fast", "slow").replace("id: good", "id: bad").replace("theirs", "ours")
    )
    with pytest.raises(ConfigurationError) as caught:
        run("check", objectives, other)
    said = (
        f"{objectives}: objectives[0] (fast) and {other}: objectives[0] (slow): two limits on the same thing"
    )
    assert said in str(caught.value)


def test_there_and_back_is_the_same_file(
    objectives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("openslo", objectives) == 0
    exported = tmp_path / "openslo.yaml"
    exported.write_text(capsys.readouterr().out)
    assert [one["kind"] for one in yaml.safe_load_all(exported.read_text())] == ["SLO", "SLO", "SLO"]
    assert run("from-openslo", exported) == 0
    back = tmp_path / "back.yaml"
    back.write_text(capsys.readouterr().out)
    assert load_objectives(back) == load_objectives(objectives)
    # what is as it is by default is not said
    assert yaml.safe_load(back.read_text()) == yaml.safe_load(OBJECTIVES)


def test_a_foreign_file_is_given_its_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "theirs.yaml"
    source = {"metricSource": {"type": "Prometheus", "spec": {"query": "vllm:num_requests_waiting"}}}
    spec = {
        "service": "chat",
        "indicator": {"metadata": {"name": "queue"}, "spec": {"thresholdMetric": source}},
        "budgetingMethod": "Occurrences",
        "objectives": [{"op": "lte", "value": 8, "target": 0.95}],
    }
    document = {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "queue"}, "spec": spec}
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationError, match="--workload"):
        run("from-openslo", path)
    assert run("from-openslo", path, "--workload", "chat-64") == 0
    assert yaml.safe_load(capsys.readouterr().out) == {
        "objectives": [
            {"id": "queue", "description": "queue", "workload": "chat-64", "indicator": "queue_depth",
             "statistic": "p95", "at_most": 8.0}
        ]
    }  # fmt: skip

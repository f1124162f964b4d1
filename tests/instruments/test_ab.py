"""`ab`, `capacity` and `compare` against simulators of known timing: what they find, keep and return."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from instruments.cli import ab, capacity, compare
from instruments.errors import ConfigurationError
from instruments.journal import load_run
from instruments.trials import judge_saved
from instruments.trials.knee import judge_search
from tests.deploy.running import Simulator, simulator

KEY = "sk-never-to-be-seen"
BLOCKS = "--users 4 --requests 8 --warmup 4 --output-tokens 2 --quiet"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Simulator]]:
    """One with a TTFT of 40 ms and four slots, one that takes 44 ms."""
    folders = [tmp_path_factory.mktemp(name) for name in "ab"]
    with (
        simulator(folders[0], "--ttft-ms", "40", "--itl-ms", "1", "--slots", "4", key=KEY) as a,
        simulator(folders[1], "--ttft-ms", "44", "--itl-ms", "1", key=KEY) as b,
    ):
        yield a, b


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_KEY", KEY)


def done(command: ModuleType, *words: object) -> int:
    """Run a command as its line would."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    command.add_arguments(parser)
    return int(command.run(parser.parse_args([str(word) for word in words])))


def compared(a: Simulator, b: Simulator, folder: Path, *words: object) -> int:
    urls = ("--base-url", a.url, "--candidate", b.url, "--api-key-env", "STACK_KEY")
    return done(ab, *urls, *BLOCKS.split(), "--folder", folder, *words)


def test_an_endpoint_that_is_ten_percent_slower_is_worse(
    servers: tuple[Simulator, Simulator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ab"
    assert compared(*servers, folder, "--pairs", "24", "--seed", "5") == 10
    said = capsys.readouterr().out
    assert said.startswith("WORSE: B is slower\nTTFT p50: B is 1.")
    assert "SIMULATED" in said
    comparison, document = judge_saved(folder)
    ratio, low, high = comparison.state.ratio
    assert low < ratio < high
    assert 1.0 < low < 1.1 < high * 1.05
    assert (document["change"], document["simulated"]) == ("WORSE", True)
    number = len(document["pairs"])
    assert number >= 8
    assert comparison.requests == (8 * number, 8 * number)
    assert {pair["first"] for pair in document["pairs"]} == {"a", "b"}
    texts = [path.read_text() for path in (folder / "comparison.json", *(folder / "loads").iterdir())]
    assert not any(KEY in text for text in texts)
    # No two blocks ask the same: neither finds the other's prompts in a cache.
    runs = [load_run(path) for path in (folder / "loads").iterdir()]
    assert len({run.description["seed"] for run in runs}) == 2 * number
    # Judged again from its journals it is the same, and says so with the same status.
    assert done(compare, folder) == 10
    assert capsys.readouterr().out == said


def test_two_equal_endpoints_are_not_told_apart(
    servers: tuple[Simulator, Simulator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, _ = servers
    words = ("--pairs", "16", "--tolerance", "0.2", "--false-alarm", "0.005", "--json")
    assert compared(a, a, tmp_path / "ab", *words) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["change"] == "EQUIVALENT"
    assert told["ratio"]["low"] < 1 < told["ratio"]["high"]
    assert told["failed"] == {"a": 0, "b": 0}


def test_the_knee_of_four_slots_is_found_and_a_promise_beyond_it_is_not_kept(
    servers: tuple[Simulator, Simulator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fifth user waits for a slot: at five, every fourth or fifth request takes twice as long."""
    objectives = tmp_path / "slo.yaml"
    objectives.write_text(
        "objectives:\n"
        "  - {id: ttft, description: x, workload: any, indicator: ttft_s, statistic: p90, at_most: 0.065}\n"
        "  - {id: errors, description: x, workload: any, indicator: error_share, statistic: share,\n"
        "     at_most: 0.2}\n"
    )
    folder = tmp_path / "search"
    words = ("--objectives", objectives, "--from", 2, "--to", 16, "--promise", 8, "--probes", 6)
    url = ("--base-url", servers[0].url, "--api-key-env", "STACK_KEY")
    status = done(capacity, *url, *words, "--folder", folder, "--output-tokens", 2, "--quiet", "--seed", 3)
    said = capsys.readouterr().out
    assert status == 10, said
    assert "VIOLATED: the promised 8 users" in said
    result, document = judge_search(folder)
    assert result.low is not None
    assert result.high is not None
    assert result.low <= 4 <= result.high < 8
    assert (document["low"], document["high"]) == (result.low, result.high)
    assert [probe["state"] for probe in document["probes"]] == [str(probe.state) for probe in result.probes]
    assert len(result.probes) <= 6
    assert document["probe_error"] == pytest.approx(0.05 / 6)
    assert done(compare, folder) == 10
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--statistic", "p99"), "a block of 8 requests has no p99"),
        (("--statistic", "p0"), "is not one of"),
        (("--indicator", "errors"), "cannot be compared"),
        (("--pairs", "7"), "pairs_least <= pairs_most"),
        (("--journal", "x.jsonl"), "--journal does not go with ab"),
        (("--candidate", "ftp://x"), "is not an address"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_sent(
    servers: tuple[Simulator, Simulator], tmp_path: Path, words: tuple[str, str], told: str
) -> None:
    before = len(servers[0].traced())
    with pytest.raises(ConfigurationError) as refused:
        compared(*servers, tmp_path / "ab", *words)
    assert told in str(refused.value)
    assert len(servers[0].traced()) == before
    assert not (tmp_path / "ab").exists()


def test_a_folder_that_holds_something_is_not_written_over(
    servers: tuple[Simulator, Simulator], tmp_path: Path
) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds something already"):
        compared(*servers, tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--users", "3"), "--users does not go with capacity"),
        (("--from", "9"), "lowest <= start <= highest"),
        (("--resolution", "0.5"), "users are whole"),
    ],
)
def test_bounds_of_a_search_that_are_none_are_refused(
    servers: tuple[Simulator, Simulator], tmp_path: Path, words: tuple[str, str], told: str
) -> None:
    objectives = tmp_path / "slo.yaml"
    objectives.write_text(
        "objectives:\n"
        "  - {id: e, description: x, workload: any, indicator: errors, statistic: count, at_most: 0}\n"
    )
    url = ("--base-url", servers[0].url, "--api-key-env", "STACK_KEY")
    asked = (*url, "--objectives", objectives, "--to", 8, "--folder", tmp_path / "search")
    with pytest.raises(ConfigurationError) as refused:
        done(capacity, *asked, *words)
    assert told in str(refused.value)


TWO_WORKLOADS = """\
objectives:
  - {id: chat, description: x, workload: chat, indicator: ttft_s, statistic: p90, at_most: 5}
  - {id: far, description: x, workload: chat, indicator: ttft_s, statistic: p50, at_most: 0.000001,
     applies: {models: ["*-70B"]}}
  - {id: batch, description: x, workload: batch, indicator: ttft_s, statistic: p90, at_most: 0.000001}
  - {id: queue, description: x, workload: server, indicator: queue_depth, statistic: max, at_most: 4}
  - {id: bound, description: x, workload: users, indicator: ttft_s, statistic: p90, at_most: 1,
     applies: {users: [64]}}
"""


@pytest.mark.parametrize(
    ("workload", "told"),
    [
        ("", "is for several workloads"),
        (":other", "no objective for 'other'"),
        (":server", "objective queue: queue_depth"),
        (":users", "objective bound: applies.users"),
    ],
)
def test_objectives_that_a_search_cannot_hold_are_refused_before_anything_is_sent(
    servers: tuple[Simulator, Simulator], tmp_path: Path, workload: str, told: str
) -> None:
    (tmp_path / "slo.yaml").write_text(TWO_WORKLOADS)
    before = len(servers[0].traced())
    url = ("--base-url", servers[0].url, "--api-key-env", "STACK_KEY", "--folder", tmp_path / "search")
    with pytest.raises(ConfigurationError) as refused:
        done(capacity, *url, "--objectives", f"{tmp_path / 'slo.yaml'}{workload}", "--to", 8)
    assert told in str(refused.value)
    assert len(servers[0].traced()) == before


def test_the_objectives_of_the_workload_that_is_named_are_held_and_no_others(
    servers: tuple[Simulator, Simulator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of `batch` and of a model of 70B could never be met."""
    (tmp_path / "slo.yaml").write_text(TWO_WORKLOADS)
    url = ("--base-url", servers[0].url, "--api-key-env", "STACK_KEY", "--folder", tmp_path / "search")
    words = ("--objectives", f"{tmp_path / 'slo.yaml'}:chat", "--from", 4, "--to", 4, "--output-tokens", 2)
    assert done(capacity, *url, *words, "--quiet") == 0
    said = capsys.readouterr()
    assert said.out.startswith("capacity at least 4 users")
    assert "not held: far: for *-70B, this is" in said.out
    assert "not held: far" in said.err
    document = json.loads((tmp_path / "search" / "capacity.json").read_text())
    assert [one["id"] for one in document["objectives"]] == ["chat"]
    assert list(document["left_out"]) == ["far"]

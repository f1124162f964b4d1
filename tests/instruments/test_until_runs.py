"""Whole runs until a rule is content, in processes of their own against a simulator, ended early and late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from instruments.fleet import LoadSpec, run_load
from instruments.journal import load_run
from instruments.limits import RunLimits
from instruments.records import LoadRun, Outcome, Phase, RequestRecord
from instruments.target import Target
from instruments.workloads.mixes import Scenario
from instruments.workloads.synthetic import SyntheticWorkload
from tests.deploy.running import KEY, ROOT, Simulator, simulator

BOUND_S = 20.0
SHORT: dict[str, Any] = {"prompt_tokens": 8, "output_tokens": 4, "requests_warmup": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """An answer of 4 tokens takes 32 ms."""
    with simulator(tmp_path_factory.mktemp("until"), "--ttft-ms", "20", "--itl-ms", "4") as one:
        yield one


def load(server: Simulator, folder: Path, processes: int = 1, **workload: Any) -> LoadSpec:
    told = {"requests_measured": 10, "requests_most": 3_000, **SHORT, **workload}
    made = SyntheticWorkload("w", "", **told)
    target = Target(server.url, {"Authorization": f"Bearer {KEY}"})
    return LoadSpec("w", made, target, "tiny", 11, folder / "w.jsonl", processes=processes)


class Content:
    """A rule that is content at the first look at so many records; keeps what it was shown."""

    def __init__(self, with_records: int) -> None:
        self.shown: list[tuple[RequestRecord, ...]] = []
        self._enough = with_records

    def __call__(self, records: Sequence[RequestRecord]) -> bool:
        self.shown.append(tuple(records))
        return len(records) >= self._enough


def measured(run: LoadRun) -> list[RequestRecord]:
    return [one for one in run.records if one.phase is Phase.MEASURED]


def reached(server: Simulator, run: LoadRun) -> list[str]:
    """Ids of this run's requests that the server answered."""
    ours = {one.request_id for one in run.records}
    return sorted(line["request_id"] for line in server.traced() if line["request_id"] in ours)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("pace", [{"users": 4}, {"rate_per_s": 100.0}], ids=["closed", "open"])
def test_a_run_ends_when_its_rule_is_content_and_all_that_was_sent_is_in_it(
    server: Simulator, tmp_path: Path, processes: int, pace: dict[str, Any]
) -> None:
    """3,000 are planned, half a minute of them."""
    content = Content(with_records=40)
    folder = tmp_path / "of-this-run"
    before = len(server.traced())
    run = run_load(load(server, folder, processes, **pace), until=content)
    assert 40 <= len(measured(run)) < 600
    assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
    assert len(server.traced()) - before == len(run.records), "what reached the server has a record"
    assert (run.complete, run.stopped_because, run.problems) == (True, None, ())
    assert run.description["sampling"] == {
        "looks": "open",
        "requests_fewest": 10,
        "requests_most": 3_000,
        "decided": True,
        "decided_at": 2 + len(content.shown[-1]),
    }
    assert run.window is not None
    assert run.window.end_ns == max(one.done_ns or 0 for one in measured(run))
    last = content.shown[-1]
    assert list(last) == measured(run)[: len(last)], "a look is at the beginning of what is judged at the end"
    assert all(len(earlier) < len(later) for earlier, later in pairwise(content.shown))
    names = sorted(path.name for path in folder.iterdir())
    assert names == (["w.jsonl"] if processes == 1 else ["w.1of2.jsonl", "w.2of2.jsonl"])


def test_a_slow_request_in_flight_holds_looks_back_and_is_in_the_journal(
    server: Simulator, tmp_path: Path
) -> None:
    """One of ten answers has 200 tokens and takes 0.8 s, fifteen times as long as the others."""
    mix = (Scenario("short", 9), Scenario("long", 1, output_tokens=200))
    content = Content(with_records=30)
    spec = load(server, tmp_path, users=4, mix=mix)
    run = run_load(spec, until=content)
    assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
    for shown in content.shown:  # without a gap, long ones among them: one of each block of ten
        assert [one.index for one in shown] == list(range(2, 2 + len(shown)))
        assert sum(one.scenario == "long" for one in shown) >= len(shown) // 10 - 1
    unseen = measured(run)[len(content.shown[-1]) :]
    assert unseen, "users were waiting for answers when the rule was content"
    assert [one.index for one in run.records] == list(range(len(run.records)))


def test_requests_that_the_server_works_on_are_waited_for(tmp_path: Path) -> None:
    """100 a second, each answered after a second: a hundred are in flight at any look."""
    with simulator(tmp_path, "--ttft-ms", "1000", "--itl-ms", "0") as slow:
        content = Content(with_records=10)
        run = run_load(load(slow, tmp_path, rate_per_s=100.0), until=content)
        assert len(content.shown) == 1
        assert len(measured(run)) - len(content.shown[0]) > 50
        assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
        assert reached(slow, run) == sorted(one.request_id for one in run.records)
        assert len(slow.traced()) == len(run.records) < 500


@pytest.mark.parametrize("processes", [1, 2])
def test_a_rule_that_is_never_content_spends_the_budget(
    server: Simulator, tmp_path: Path, processes: int
) -> None:
    never = Content(with_records=10**9)
    spec = load(server, tmp_path, processes, users=8, requests_most=60, requests_cooldown=3)
    run = run_load(spec, until=never)
    assert [one.index for one in run.records] == list(range(2 + 60 + 3))
    assert len(measured(run)) == 60
    assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
    assert run.complete
    sampling = run.description["sampling"]
    assert (sampling["decided"], sampling["decided_at"]) == (False, None)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_time_bound_leaves_the_rest_of_a_budget_without_records(
    server: Simulator, tmp_path: Path, processes: int
) -> None:
    """A second is too short for 3,000 of 32 ms by 4 users; 2 to warm up and 10 measured are 0 to 11."""
    spec = replace(load(server, tmp_path, processes, users=4), limits=RunLimits(duration_s=1.0))
    run = run_load(spec, until=Content(with_records=10**9))
    assert (run.complete, run.stopped_because) == (False, "the run's time bound of 1 s was reached")
    assert all(one.index < 12 for one in run.records if one.outcome is Outcome.NOT_SENT)
    assert len(run.records) < 3_000


def test_without_a_budget_the_planned_size_is_measured_and_nobody_looks(
    server: Simulator, tmp_path: Path
) -> None:
    content = Content(with_records=1)
    spec = load(server, tmp_path, users=4, requests_measured=40, requests_most=None)
    run = run_load(spec, until=content)
    assert (len(measured(run)), content.shown) == (40, [])
    assert "sampling" not in run.description


def test_a_budget_without_a_rule_is_a_planned_size(server: Simulator, tmp_path: Path) -> None:
    run = run_load(load(server, tmp_path, users=4, requests_most=40))
    assert len(measured(run)) == 40
    assert run.description["sampling"]["looks"] == "planned"


class Mistaken(Exception):
    """What a rule raises."""


def test_a_rule_that_raises_ends_the_run_with_its_error_and_leaves_nobody(
    server: Simulator, tmp_path: Path
) -> None:
    def mistaken(_records: Sequence[RequestRecord]) -> bool:
        raise Mistaken("no such indicator")

    spec = load(server, tmp_path, 2, users=4)
    with pytest.raises(Mistaken, match="no such indicator"):
        run_load(spec, until=mistaken)
    assert workers_of(os.getpid()) == []
    run = load_run(spec.journal)
    assert (run.complete, run.stopped_because) == (False, "the run was interrupted")
    assert Outcome.COMPLETED in {one.outcome for one in run.records}


def workers_of(parent: int) -> list[int]:
    """Worker processes with this parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            its = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if its == parent and b"instruments.worker" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except (OSError, ValueError):
            continue
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(check: Any, what: str) -> Any:
    until = time.monotonic() + BOUND_S
    while not (found := check()):
        assert time.monotonic() < until, f"not within {BOUND_S:g} s: {what}"
        time.sleep(0.02)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found through /proc")
def test_a_parent_that_is_killed_between_looks_leaves_nothing(server: Simulator, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom instruments.fleet import LoadSpec, run_load\n"
        "from instruments.target import Target\n"
        "from instruments.workloads.synthetic import SyntheticWorkload\n"
        "w = SyntheticWorkload('w', '', 10, 4, requests_most=2_000, users=4)\n"
        f"t = Target(sys.argv[1], {{'Authorization': 'Bearer {KEY}'}})\n"
        "spec = LoadSpec('w', w, t, 'tiny', 1, Path(sys.argv[2]), processes=2)\n"
        "run_load(spec, until=lambda records: bool(print(len(records), flush=True)))\n"
    )
    command = [sys.executable, "-c", code, server.url, str(tmp_path / "w.jsonl")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) >= 10  # it has looked once
        workers = workers_of(parent.pid)
        parent.send_signal(signal.SIGKILL)
    assert len(workers) == 2
    eventually(lambda: not any(lives(pid) for pid in workers), "no worker is left")
    run = load_run(tmp_path / "w.jsonl")
    assert run.stopped_because is not None
    assert run.stopped_because.startswith("the run was interrupted")

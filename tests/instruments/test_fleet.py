"""Load from processes of its own: the same requests however many, and no record lost however it ends."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instruments import fleet
from instruments.errors import JournalError, WorkerDied
from instruments.fleet import LoadSpec, Progress, processes_for, run_load
from instruments.journal import load_run
from instruments.limits import RequestTimeouts, RunLimits
from instruments.records import LoadRun, Outcome
from instruments.target import Target
from instruments.workloads.synthetic import SyntheticWorkload
from tests.deploy.running import KEY, Simulator, simulator

SHORT: dict[str, Any] = {"prompt_tokens": 8, "output_tokens": 4, "requests_warmup": 0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("fleet"), "--ttft-ms", "5", "--itl-ms", "1") as one:
        yield one


def spec(server: Simulator, folder: Path, workload: SyntheticWorkload, **options: Any) -> LoadSpec:
    target = Target(server.url, {"Authorization": f"Bearer {KEY}"})
    journal = folder / "load.jsonl"
    return replace(LoadSpec(workload.id, workload, target, "tiny", 11, journal), **options)


def closed(users: int = 3, requests: int = 12, **options: Any) -> SyntheticWorkload:
    return SyntheticWorkload("w", "", requests_measured=requests, users=users, **{**SHORT, **options})


def opened(rate_per_s: float = 100.0, requests: int = 12, **options: Any) -> SyntheticWorkload:
    return SyntheticWorkload(
        "w", "", requests_measured=requests, rate_per_s=rate_per_s, **{**SHORT, **options}
    )


def asked(run: LoadRun, server: Simulator) -> set[tuple[str, int]]:
    """(request id, prompt tokens as the server counted them) of all that reached the server."""
    ours = {one.request_id for one in run.records}
    return {
        (line["request_id"], line["prompt_tokens"]) for line in server.traced() if line["request_id"] in ours
    }


@pytest.mark.parametrize("processes", [1, 3])
def test_all_requests_are_sent_and_their_journals_are_one_run(
    server: Simulator, tmp_path: Path, processes: int
) -> None:
    seen: list[Progress] = []
    run = run_load(spec(server, tmp_path, closed(), processes=processes), seen.append)
    assert [one.index for one in run.records] == list(range(12))
    assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
    assert (run.complete, run.problems, run.description["processes"]) == (True, (), processes)
    assert run.client is not None
    assert (run.client.processes, run.client.connections_made) == (processes, 3)
    assert {one.user for one in run.records} == {0, 1, 2}
    assert len({one.request_id for one in run.records}) == 12
    assert sorted(record.index for progress in seen for record in progress.records) == list(range(12))
    assert seen[-1].ended == 12
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == (["load.jsonl"] if processes == 1 else [f"load.{n}of3.jsonl" for n in (1, 2, 3)])
    assert KEY not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_the_number_of_processes_changes_neither_requests_nor_due_times(
    server: Simulator, tmp_path: Path
) -> None:
    """Laid beside each other from each run's first due time: byte for byte the same schedule."""
    schedules, bodies = [], []
    for processes in (1, 2, 3):
        folder = tmp_path / str(processes)
        run = run_load(spec(server, folder, opened(), processes=processes))
        start_ns = run.records[0].due_ns
        schedules.append([(one.index, one.request_id, one.due_ns - start_ns) for one in run.records])
        bodies.append(asked(run, server))
    assert schedules[0] == schedules[1] == schedules[2]
    assert [due_ns for _, _, due_ns in schedules[0]] == [n * 10_000_000 for n in range(12)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(bodies[0]) == 12


@pytest.mark.parametrize(("users", "processes", "used"), [(3, 2, 2), (1, 2, 1), (2, 4, 2)])
def test_no_process_is_without_a_user_and_no_request_without_a_process(
    server: Simulator, tmp_path: Path, users: int, processes: int, used: int
) -> None:
    run = run_load(spec(server, tmp_path, closed(users=users), processes=processes))
    assert [one.index for one in run.records] == list(range(12))
    assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
    assert run.client is not None
    assert run.client.processes == used
    assert run.client.littles_ratio is not None
    assert 0.5 < run.client.littles_ratio < 3.0
    assert run.client.in_flight_mean is not None
    assert 0 < run.client.in_flight_mean <= users * 1.5


def test_parts_of_runs_of_different_processes_are_not_taken_for_one(
    server: Simulator, tmp_path: Path
) -> None:
    run_load(spec(server, tmp_path, closed(), processes=3))
    (tmp_path / "load.1of2.jsonl").write_bytes((tmp_path / "load.1of3.jsonl").read_bytes())
    with pytest.raises(JournalError, match="has parts of several runs"):
        load_run(tmp_path / "load.jsonl")


def test_nobody_listening_is_a_record_for_every_request(tmp_path: Path, server: Simulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    nobody = Target(f"http://127.0.0.1:{port}")
    run = run_load(
        spec(server, tmp_path, closed(requests=30), target=nobody, limits=RunLimits(consecutive_failures=4))
    )
    assert [one.index for one in run.records] == list(range(30))
    assert {one.outcome for one in run.records} == {Outcome.FAILED, Outcome.NOT_SENT}
    assert run.stopped_because == "4 requests in a row failed"


def test_a_journal_that_cannot_be_written_is_said_by_the_parent(tmp_path: Path, server: Simulator) -> None:
    (tmp_path / "load.jsonl").mkdir()
    with pytest.raises(JournalError, match=r"cannot write the journal .*load\.jsonl") as caught:
        run_load(spec(server, tmp_path, closed()))
    assert caught.value.expected == "room on the disk and the right to write there"


def workers_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"instruments.worker" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except (OSError, ValueError):
            continue
    return found


def _when_under_way(journal: Path, act: Any) -> threading.Thread:
    """Do something when the journal has its first record."""

    def wait() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if journal.exists() and journal.read_bytes().count(b'"kind":"request"'):
                act()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found through /proc")
def test_a_worker_that_is_killed_is_an_error_and_its_journal_stands(
    tmp_path: Path, server: Simulator
) -> None:
    load = spec(server, tmp_path, closed(requests=5_000))
    killer = _when_under_way(load.journal, lambda: os.kill(workers_of(os.getpid())[0], signal.SIGKILL))
    with pytest.raises(WorkerDied, match="a process that sent the load w is gone: it ended with status -9"):
        run_load(load)
    killer.join()
    run = load_run(load.journal)
    assert run.records
    assert run.stopped_because == "cut off"
    assert not run.complete


def test_an_interrupt_leaves_whole_journals_and_no_process(tmp_path: Path, server: Simulator) -> None:
    load = spec(server, tmp_path, closed(requests=5_000), processes=2)
    first = tmp_path / "load.1of2.jsonl"
    interrupter = _when_under_way(first, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_load(load)
    interrupter.join()
    run = load_run(load.journal)
    assert [one.index for one in run.records] == list(range(5_000))
    assert {Outcome.COMPLETED, Outcome.NOT_SENT} <= {one.outcome for one in run.records}
    assert (run.stopped_because, run.problems) == ("the run was interrupted", ())
    assert workers_of(os.getpid()) == []


def test_a_missing_part_is_told_and_leaves_the_run_incomplete(tmp_path: Path, server: Simulator) -> None:
    run_load(spec(server, tmp_path, closed(), processes=3))
    (tmp_path / "load.2of3.jsonl").unlink()
    run = load_run(tmp_path / "load.jsonl")
    assert len(run.records) == 8
    assert run.problems == ("the journal of process 2 of 3 is missing",)
    assert not run.complete


def test_a_load_that_does_not_end_is_stopped(
    tmp_path: Path, server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "GRACE_S", 0.0)
    target = Target(server.url, timeouts=RequestTimeouts(connect_s=1.0, total_s=0.2))
    slow = opened(rate_per_s=0.1, requests=3)
    load = spec(server, tmp_path, slow, target=target, limits=RunLimits(duration_s=0.3))
    monkeypatch.setattr(fleet, "_order", _without_bounds(fleet._order))
    with pytest.raises(WorkerDied, match="did not come to its end"):
        run_load(load)
    assert load_run(load.journal).stopped_because == "the run was interrupted"


def _without_bounds(order: Any) -> Any:
    return lambda *given: replace(order(*given), limits=RunLimits(duration_s=600))


@pytest.mark.parametrize(
    ("workload", "cores", "wanted"),
    [
        (closed(users=64), 8, 1),
        (closed(users=257), 8, 2),
        (closed(users=10_000), 8, 7),
        (closed(users=10_000), 1, 1),
        (opened(rate_per_s=499), 8, 1),
        (opened(rate_per_s=2_000), 8, 5),
    ],
)
def test_auto_is_a_process_for_so_much_load_and_leaves_a_core(
    workload: SyntheticWorkload, cores: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)), raising=False)
    assert processes_for("auto", workload) == wanted
    assert processes_for("3", workload) == 3
    assert processes_for("3", closed(users=2)) == 2

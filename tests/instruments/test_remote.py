"""Load from elsewhere: exactly what one process would send, on one clock, whatever clock is shown there."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from environments.binaries import ROOT
from instruments import fleet
from instruments.fleet import Progress, run_load
from instruments.journal import load_run
from instruments.records import LoadRun, Outcome, RequestRecord
from instruments.target import Target
from instruments.workloads.files import FileWorkload
from tests.deploy.running import KEY, Simulator, simulator
from tests.instruments.posts import (
    AHEAD_S,
    ELSEWHEN,
    FAR,
    closed,
    opened,
    processes,
    spec,
    when_under_way,
)

SECOND_NS = 1_000_000_000


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Posts of this machine hear "go" sooner than those of another."""
    monkeypatch.setattr(fleet, "POSTS_START_IN_NS", 250_000_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("remote"), "--ttft-ms", "20", "--itl-ms", "2") as one:
        yield one


@pytest.fixture(scope="module")
def elsewhen() -> tuple[str, ...]:
    """A far side with another monotonic clock; skips where the kernel gives nobody one."""
    asked = [*ELSEWHEN[:4], "true"]
    if subprocess.run(asked, capture_output=True, timeout=20, check=False).returncode != 0:
        pytest.skip("no time namespaces for this user: unshare --time")
    return ELSEWHEN


def asked(run: LoadRun, server: Simulator) -> set[tuple[str, int]]:
    """(request id, prompt tokens as the server counted them) of all that reached the server."""
    ours = {one.request_id for one in run.records}
    return {(one["request_id"], one["prompt_tokens"]) for one in server.traced() if one["request_id"] in ours}


def test_posts_send_exactly_what_one_process_would(
    server: Simulator, tmp_path: Path, elsewhen: tuple[str, ...]
) -> None:
    """The same requests at the same offsets, though one clock over there is a thousand seconds ahead."""
    alone = run_load(spec(server, tmp_path / "alone", opened()))
    both = run_load(spec(server, tmp_path / "both", opened(), FAR, elsewhen))
    schedules = []
    for run in (alone, both):
        start_ns = run.records[0].due_ns
        schedules.append([(one.index, one.request_id, one.due_ns - start_ns) for one in run.records])
    assert [name[:2] for name in schedules[0]] == [name[:2] for name in schedules[1]]
    assert both.client is not None
    assert both.client.clock_error_s is not None
    apart = [abs(here[2] - there[2]) for here, there in zip(*schedules, strict=True)]
    assert max(apart) <= 2 * both.client.clock_error_s * 1e9
    assert asked(alone, server) == asked(both, server)
    assert len(asked(both, server)) == 24
    assert (both.complete, both.problems) == (True, ())
    assert (both.description["posts"], both.description["processes"]) == (["a", "b"], 2)
    assert "part" not in both.description


def test_instants_from_another_clock_lie_where_the_server_saw_them(
    server: Simulator, tmp_path: Path, elsewhen: tuple[str, ...]
) -> None:
    """The server's log is of this machine's clock: each request came between its sending and its answer."""
    began_ns = time.monotonic_ns()
    run = run_load(spec(server, tmp_path, closed(), elsewhen, FAR))
    ended_ns = time.monotonic_ns()
    arrived = {one["request_id"]: one["arrival_ns"] for one in server.traced()}
    assert run.client is not None
    error_ns = round((run.client.clock_error_s or 0.0) * 1e9)
    assert 0 < error_ns < SECOND_NS / 10
    for one in run.records:
        assert one.sent_ns is not None
        assert one.headers_ns is not None
        assert one.sent_ns - error_ns <= arrived[one.request_id] <= one.headers_ns + error_ns
        assert one.first_token_ns is not None
        assert 0.02 <= (one.first_token_ns - one.sent_ns) / 1e9 < 5  # the server's own 20 ms, and no 1,000 s
    assert run.window is not None
    assert began_ns < run.window.start_ns < run.window.end_ns < ended_ns
    assert began_ns - SECOND_NS < run.anchor.monotonic_ns < began_ns + SECOND_NS
    assert abs(run.anchor.unix_s(ended_ns) - time.time()) < 5
    as_written = (tmp_path / "load.1of2.jsonl").read_text()
    far_ns = int(as_written.partition('"due_ns":')[2].partition(",")[0])
    assert abs(far_ns - run.window.start_ns - AHEAD_S * SECOND_NS) < 60 * SECOND_NS  # it really was elsewhen


def test_a_single_post_is_moved_onto_our_clock_too(
    server: Simulator, tmp_path: Path, elsewhen: tuple[str, ...]
) -> None:
    began_ns = time.monotonic_ns()
    run = run_load(spec(server, tmp_path, closed(), elsewhen))
    assert (tmp_path / "load.jsonl").exists()
    assert run.window is not None
    assert began_ns < run.window.start_ns < time.monotonic_ns()
    assert run.client is not None
    assert (run.client.processes, run.client.start_spread_s) == (1, None)


def test_a_closed_loop_is_shared_out_and_its_progress_seen(server: Simulator, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run = run_load(spec(server, tmp_path, closed(users=3), FAR, FAR, FAR, FAR), seen.append)
    assert [one.index for one in run.records] == list(range(24))
    assert {one.outcome for one in run.records} == {Outcome.COMPLETED}
    assert {one.user for one in run.records} == {0, 1, 2}
    assert run.description["posts"] == ["a", "b", "c"]  # none without a user
    assert sorted(one.index for look in seen for one in look.records) == list(range(24))
    assert run.client is not None
    assert run.client.processes == 3
    assert run.client.start_spread_s is not None
    assert 0 <= run.client.start_spread_s < 5


def test_a_load_that_is_decided_ends_everywhere(server: Simulator, tmp_path: Path) -> None:
    def enough(records: Sequence[RequestRecord]) -> bool:
        return len(records) >= 40

    workload = closed(requests=20, requests_most=20_000)
    run = run_load(spec(server, tmp_path, workload, FAR, FAR), until=enough)
    assert (run.complete, run.stopped_because) == (True, None)
    assert run.description["sampling"]["decided"]
    assert 40 <= len(run.records) < 20_000


def test_the_key_is_in_no_argument_environment_or_file(server: Simulator, tmp_path: Path) -> None:
    """Nor does the process that passes the journal on take a core from the engine that it watches."""
    found: list[bytes] = []
    niceness: list[int] = []

    def look() -> None:
        for pid in [*processes("instruments.remote.far"), *processes("instruments.worker")]:
            found.extend((Path(f"/proc/{pid}") / name).read_bytes() for name in ("cmdline", "environ"))
            niceness.append(os.getpriority(os.PRIO_PROCESS, pid))

    load = spec(server, tmp_path, closed(requests=400), FAR)
    thread = when_under_way(load.journal, look)
    run_load(load)
    thread.join()
    assert sum(b"instruments.worker" in one for one in found) == 1
    far, engine = niceness
    assert far - engine == 10
    assert not any(KEY.encode() in one for one in found)
    assert KEY not in load.journal.read_text()


def test_files_travel_with_the_order(
    server: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another folder, with prompts that are named by where they lie here."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "one two three", "output_tokens": 2}\n' * 6)
    workload = FileWorkload("w", "", "prompts.jsonl", "jsonl", users=2)
    monkeypatch.chdir(tmp_path)
    far = ("sh", "-c", f"cd {ROOT} && exec {' '.join(FAR)}")
    run = run_load(spec(server, tmp_path, workload, far, far))
    assert [one.outcome for one in run.records] == [Outcome.COMPLETED] * 6


def test_sealed_parts_are_read_alike_again_and_again(server: Simulator, tmp_path: Path) -> None:
    load = spec(server, tmp_path, closed(), FAR, FAR)
    assert run_load(load) == load_run(load.journal) == load_run(load.journal)


def test_a_target_without_a_server_is_a_record_for_every_request(server: Simulator, tmp_path: Path) -> None:
    run = run_load(spec(server, tmp_path, closed(), FAR, FAR, target=Target("http://127.0.0.1:9")))
    assert {one.outcome for one in run.records} <= {Outcome.FAILED, Outcome.NOT_SENT}
    assert [one.index for one in run.records] == list(range(24))

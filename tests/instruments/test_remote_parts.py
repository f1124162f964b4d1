"""What goes over and what comes back: orders with their files, journals slowly, parts on one clock."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from instruments.clock import ClockAnchor
from instruments.errors import ConfigurationError, JournalError
from instruments.journal import Journal, JournalTail, load_run
from instruments.merging import on_the_runs_clock
from instruments.records import Window
from instruments.remote import collecting
from instruments.remote.collecting import Collector, oom_kills
from instruments.remote.frames import Frame, Incoming, Kind, NotAFrame
from instruments.remote.parcel import parcel_of, unpacked
from instruments.spawn import Spawned
from instruments.target import Target
from instruments.worker import WorkOrder
from instruments.workloads import Workload
from instruments.workloads.files import FileWorkload
from instruments.workloads.vocabulary import WORDS_AS_TOKENS
from tests.instruments.posts import closed
from tests.instruments.shapes import CALM, SECOND, record

MS = SECOND // 1000


def order(workload: Workload, **target: Any) -> WorkOrder:
    return WorkOrder(
        "w",
        workload,
        WORDS_AS_TOKENS,
        Target("https://server", **target),
        "m",
        1,
        Path("w.jsonl"),
        ClockAnchor(0, 0),
    )


def test_a_parcel_brings_certificates_and_prompts_along(tmp_path: Path) -> None:
    for name in ("ca.pem", "me.pem", "me.key", "prompts.jsonl"):
        (tmp_path / name).write_text(f"text of {name}")
    prompts = FileWorkload("f", "", str(tmp_path / "prompts.jsonl"), "jsonl", rate_per_s=1.0)
    sent = order(
        prompts,
        ca_file=tmp_path / "ca.pem",
        client_cert_file=tmp_path / "me.pem",
        client_key_file=tmp_path / "me.key",
    )
    packed = parcel_of(sent).packed()
    for path in tmp_path.iterdir():
        path.unlink()  # over there they are not
    there = unpacked(packed, tmp_path)
    target, workload = there.target, there.workload
    assert isinstance(workload, FileWorkload)
    assert target.ca_file and target.client_cert_file and target.client_key_file  # noqa: PT018
    read = [target.ca_file, target.client_cert_file, target.client_key_file, Path(workload.path)]
    names = ["ca.pem", "me.pem", "me.key", "prompts.jsonl"]
    assert [path.read_text() for path in read] == [f"text of {name}" for name in names]
    assert {path.parent for path in read} == {tmp_path}
    assert {path.stat().st_mode & 0o777 for path in read} == {0o600}
    assert there.journal.parent == tmp_path


def test_an_order_without_files_is_the_same_order_there(tmp_path: Path) -> None:
    sent = order(closed())
    assert replace(unpacked(parcel_of(sent).packed(), tmp_path), journal=sent.journal) == sent


def test_a_file_that_cannot_be_read_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*none\.pem"):
        parcel_of(order(closed(), ca_file=tmp_path / "none.pem"))


def test_frames_are_cut_wherever_they_are_torn() -> None:
    frames = [Frame.of(Kind.PING, {"number": 1}), Frame(Kind.BEAT), Frame(Kind.DATA, b"x" * 300)]
    for size in (1, 2, 7, 1000):
        found, incoming = [], Incoming(-1)
        whole = b"".join(frame.packed() for frame in frames)
        for at in range(0, len(whole), size):
            incoming._held += whole[at : at + size]
            found += incoming._cut()
        assert found == frames


def test_what_is_no_frame_is_shown() -> None:
    incoming = Incoming(-1)
    incoming._held += b"error: unable to upgrade connection"
    with pytest.raises(NotAFrame, match="unable to upgrade"):
        incoming._cut()


def ended_worker() -> Spawned:
    """One that is ready and gone."""
    words = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
    process = subprocess.Popen(
        [sys.executable, "-c", """print('{"ready": true}', flush=True)"""],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    return Spawned(process, words)


def test_a_journal_is_sent_slowly_while_the_load_goes_and_whole_at_its_end(tmp_path: Path) -> None:
    """Three megabytes are there at the first look: a quarter of one goes, the rest when the load is over."""
    journal = tmp_path / "part.jsonl"
    sent: list[Frame] = []
    journal.write_bytes(b"0123456789abcdef" * (3 << 16))
    worker = ended_worker()
    collector = Collector(worker, journal, sent.append)
    assert collector._pass_on(collecting.WHILE_IT_GOES_BYTES)
    assert [len(frame.content) for frame in sent] == [1 << 18]
    assert collecting.WHILE_IT_GOES_BYTES / collecting.LOOK_EVERY_S <= 1 << 20  # bytes a second
    collector.run()
    worker.end()
    kinds = [frame.kind for frame in sent if frame.kind is not Kind.BEAT]
    assert kinds[-1] is Kind.END
    assert Kind.READY in kinds
    told = sent[-1].told()
    data = b"".join(frame.content for frame in sent if frame.kind is Kind.DATA)
    assert (told["status"], told["bytes"]) == (0, 3 << 20)
    assert (
        told["sha256"] == hashlib.sha256(journal.read_bytes()).hexdigest() == hashlib.sha256(data).hexdigest()
    )


@pytest.mark.parametrize(
    ("text", "kills"),
    [("low 0\nhigh 1\nmax 7\noom 3\noom_kill 2\n", 2), ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1)],
    ids=["version 2", "version 1"],
)
def test_the_kernel_tells_what_it_killed_for_memory(
    text: str, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "counter"
    file.write_text(text)
    monkeypatch.setattr(collecting, "OOM_COUNTERS", (tmp_path / "none", file))
    assert oom_kills() == kills


def part(
    path: Path,
    post: str,
    ahead_ns: int,
    index: int,
    due_ns: int,
    late_ns: int,
    drift_ns: int = 0,
    unix_ns: int = 77,
) -> None:
    """A part of one request, written by a clock that is so much ahead at 0 s, by `drift_ns` more at 10 s."""
    clock = {"offset_ns": ahead_ns, "error_ns": 3 * MS, "at_ns": 0, "exchanges": 25}
    after = {**clock, "offset_ns": ahead_ns + drift_ns, "at_ns": 10 * SECOND}
    due = due_ns + ahead_ns
    one = replace(
        record(index, due=0), due_ns=due, sent_ns=due + late_ns, done_ns=due + SECOND, chunks_ns=(due + 1,)
    )
    description = {"posts": ["p", "q"], "part": {"post": post, "clock": clock}}
    with Journal(path, "w", description, ClockAnchor(ahead_ns, unix_ns)) as journal:
        journal.append(one)
        journal.end(Window(due, due + SECOND), CALM, None)
    data = path.read_bytes()
    told = {
        "kind": "arrived", "post": post, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
        "start_ns": ahead_ns + SECOND, "clock": after,
    }  # fmt: skip
    path.write_bytes(data + json.dumps(told).encode() + b"\n")


def test_parts_of_two_clocks_are_one_run(tmp_path: Path) -> None:
    """Due at 2 s and 3 s of our clock, sent 5 and 25 ms late; told to start at 1 s: began 20 ms apart."""
    part(tmp_path / "w.1of2.jsonl", "p", 1000 * SECOND, 0, 2 * SECOND, 5 * MS)
    part(tmp_path / "w.2of2.jsonl", "q", -7 * SECOND, 1, 3 * SECOND, 25 * MS)
    run = load_run(tmp_path / "w.jsonl")
    assert [(one.due_ns, one.sent_ns) for one in run.records] == [
        (2 * SECOND, 2 * SECOND + 5 * MS),
        (3 * SECOND, 3 * SECOND + 25 * MS),
    ]
    assert [one.chunks_ns for one in run.records] == [(2 * SECOND + 1,), (3 * SECOND + 1,)]
    assert run.window == Window(2 * SECOND, 4 * SECOND)
    assert (run.anchor, run.complete, run.problems) == (ClockAnchor(0, 77), True, ())
    assert run.client == replace(CALM, processes=2, stamps="user", clock_error_s=0.003, start_spread_s=0.02)


def test_a_drift_moves_a_record_by_its_share_and_leaves_its_latency(tmp_path: Path) -> None:
    """4 ms more in 10 s: at 5 s two of them, and the answer took the second that its own clock says."""
    part(tmp_path / "w.jsonl", "p", 1000 * SECOND, 0, 5 * SECOND, 0, drift_ns=4 * MS)
    (one,) = load_run(tmp_path / "w.jsonl").records
    assert abs(one.due_ns - (5 * SECOND - 2 * MS)) < MS // 100
    assert one.done_ns == one.due_ns + SECOND


def test_a_journal_is_looked_at_on_the_runs_clock_while_it_is_written(tmp_path: Path) -> None:
    """As a rate that is asked for while the load goes needs it: parts of clocks 1,007 s apart."""
    part(tmp_path / "w.1of2.jsonl", "p", 1000 * SECOND, 0, 2 * SECOND, 5 * MS)
    part(tmp_path / "w.2of2.jsonl", "q", -7 * SECOND, 1, 3 * SECOND, 25 * MS)
    whole = load_run(tmp_path / "w.jsonl")
    tails = [JournalTail(tmp_path / f"w.{number}of2.jsonl") for number in (1, 2)]
    assert tuple(record for tail in tails for record in tail.fresh()) == whole.records
    grown = tmp_path / "w.3of3.jsonl"
    text, tail, found = (tmp_path / "w.1of2.jsonl").read_bytes(), JournalTail(grown), []
    for size in range(0, len(text), 50):
        grown.write_bytes(text[:size])
        found += tail.fresh()
    assert tuple(found) == whole.records[:1]


def test_a_part_of_another_run_is_refused(tmp_path: Path) -> None:
    part(tmp_path / "w.1of2.jsonl", "p", SECOND, 0, 2 * SECOND, 0)
    part(tmp_path / "w.2of2.jsonl", "q", SECOND, 1, 3 * SECOND, 0, unix_ns=78)
    with pytest.raises(JournalError, match="the parts of w are of several runs") as caught:
        load_run(tmp_path / "w.jsonl")
    assert caught.value.seen == "77, 78"


def test_a_part_that_is_there_twice_is_said(tmp_path: Path) -> None:
    part(tmp_path / "w.1of2.jsonl", "p", SECOND, 0, 2 * SECOND, 0)
    (tmp_path / "w.2of2.jsonl").write_bytes((tmp_path / "w.1of2.jsonl").read_bytes())
    assert load_run(tmp_path / "w.jsonl").problems == (
        "1 records are of requests that have another: a part is there twice",
    )


def test_parts_of_this_machine_are_left_as_they_are(tmp_path: Path) -> None:
    with Journal(tmp_path / "w.jsonl", "w", {}, ClockAnchor(0, 0)) as journal:
        journal.append(record())
        journal.end(Window(0, 1), CALM, None)
    run = load_run(tmp_path / "w.jsonl")
    assert on_the_runs_clock(run) is run
    assert run.client is not None
    assert asdict(run.client)["clock_error_s"] is None

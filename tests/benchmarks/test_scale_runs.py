"""What the page on scale is measured with: the probe beside the kernel's other counts, and one small run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.scale.points import Point
from benchmarks.scale.probe import Look, Seen, busy_ns, descriptors, peak_bytes, probing, server_among
from benchmarks.scale.reading import PARTS, read_all, write_parts
from benchmarks.scale.streaming import _shares, run_once
from instruments.journal import load_run
from instruments.records import Outcome, Phase, RequestRecord

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process costs is read in /proc")

MS = 1_000_000
BURN = "import time\nwhile time.process_time() < {s}: pass\n"
READY = "print(flush=True); input()\n"


@contextmanager
def child(code: str) -> Iterator[int]:
    """The id of a Python that has done what it is told, and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", code + READY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate(b"\n", timeout=20)


def test_processor_time_is_what_the_process_itself_counts() -> None:
    with child(BURN.format(s=0.3)) as pid:
        ticks = [
            int(word) for word in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        ]
        counted_s = sum(ticks) / os.sysconf("SC_CLK_TCK")
        assert 0.3 <= busy_ns(pid) / 1e9 < 0.6
        assert busy_ns(pid) / 1e9 == pytest.approx(counted_s, abs=0.05)


def test_memory_that_was_given_back_still_counts() -> None:
    with (
        child("pass\n") as plain,
        child("b = bytearray(64 * 2**20); b[::4096] = b'x' * 16384; del b\n") as pid,
    ):
        assert peak_bytes(pid) - peak_bytes(plain) == pytest.approx(64 * 2**20, rel=0.1)


def test_descriptors_are_counted() -> None:
    with child("pass\n") as plain, child("f = [open('/dev/null') for _ in range(10)]\n") as pid:
        assert descriptors(pid) - descriptors(plain) == 10


def test_a_window_has_the_looks_that_lie_in_it() -> None:
    with child("pass\n") as pid, probing(pid, os.getpid()) as seen:
        until = time.monotonic() + 20
        while len(seen.looks) < 3 and time.monotonic() < until:
            time.sleep(0.05)
    instants = [look.at_ns for look in seen.looks]
    assert instants == sorted(instants)
    assert len(instants) >= 3
    first_and_last = seen.within(instants[0], instants[-1])
    assert first_and_last == (seen.looks[0], seen.looks[-1])
    assert seen.within(instants[0], instants[1] - 1) is None, "one look is no window"


def test_no_server_is_taken_for_one() -> None:
    with child("pass\n") as pid, pytest.raises(LookupError):
        server_among([pid])


def stream(index: int, *chunks_ms: int) -> RequestRecord:
    """A record with chunks at these instants, in milliseconds."""
    chunks_ns = tuple(one * MS for one in chunks_ms)
    return RequestRecord(
        index, f"r{index}", index, Phase.MEASURED, Outcome.COMPLETED, due_ns=0, chunks_ns=chunks_ns
    )


def test_shares_are_taken_while_every_stream_was_open() -> None:
    """Both are open from 200 to 900 ms; of the looks those at 300 and 800 lie in there: 500 ms. In these the
    client worked for 50 ms, the server for 100, and chunks at 400, 700, 700 and 800 ms came."""
    done = [stream(0, 100, 400, 700, 900), stream(1, 200, 300, 700, 800, 1_000)]
    looks = [Look(at * MS, client * MS, server * MS) for at, client, server in LOOKS]
    assert _shares(done, Seen(looks)) == (0.5, 4, 0.1, 0.2)
    assert _shares(done, Seen(looks[:2])) == (None, 0, None, None)
    assert _shares([], Seen(looks)) == (None, 0, None, None)


LOOKS = [(150, 0, 0), (300, 10, 20), (550, 20, 50), (800, 60, 120), (950, 900, 900)]


def test_a_small_run_counts_its_own_tokens() -> None:
    """Eight streams of 50 tokens a second are no more than 400 a second while all are open."""
    run = run_once(Point(50.0, 8, ramp_s=0.1, streamed_s=2.0), 1, 3)
    assert run.problem is None
    assert (run.completed, run.tokens) == (8, 100)
    assert run.window_s is not None
    assert run.served_share is not None
    assert 0 < run.served_share < 1.1
    assert run.client_share is not None
    assert run.whole_cpu_s is not None
    assert 0 < run.client_share * run.window_s < run.whole_cpu_s
    assert run.descriptors > 8
    assert run.journal_bytes > 8 * 100
    assert run.body_bytes > 8 * 100 * len('data: {"choices":[]}')


def test_a_run_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.server.START_BOUND_S", 0.0)
    run = run_once(Point(50.0, 2, ramp_s=0.0, streamed_s=0.2), 1, 3)
    assert run.problem is not None
    assert "expected the simulator's address within 0 s" in run.problem
    assert run.client_share is None


def test_parts_are_read_as_one_run(tmp_path: Path) -> None:
    size = write_parts(tmp_path / "load.jsonl", 50, 3)
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == PARTS
    run = load_run(tmp_path / "load.jsonl")
    assert [record.index for record in run.records] == list(range(50))
    assert (run.complete, run.problems) == (True, ())
    # Written a millisecond apart, each on its own clock, on one clock they still are: drift is 1 ms in 600 s.
    due_ns = [record.due_ns for record in run.records]
    assert [round((b - a) / MS) for a, b in pairwise(due_ns)] == [1] * 49


def test_reading_is_measured_apart() -> None:
    (read,) = read_all((40,), 1, 3)
    assert read.problem is None
    assert read.requests == 40
    assert read.seconds is not None
    assert read.peak_bytes > 10 * 2**20

"""The journal: what was written is read again, however the run ended."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import orjson
import pytest

from instruments.clock import ClockAnchor
from instruments.errors import JournalError
from instruments.journal import Journal, load_run
from instruments.records import ClientCheck, Outcome, Phase, RequestRecord, Window
from instruments.slo import ServiceLevelObjective, State, evaluate
from instruments.statistics import summarize
from tests.instruments.shapes import record

FULL = RequestRecord(
    index=3,
    request_id="räquest-\U0001d11e",
    user=2,
    phase=Phase.WARMUP,
    outcome=Outcome.TRUNCATED,
    due_ns=11,
    sent_ns=12,
    headers_ns=13,
    first_data_ns=14,
    first_token_ns=15,
    last_token_ns=16,
    done_ns=17,
    status=200,
    prompt_tokens=18,
    completion_tokens=0,
    finish_reason="length",
    chunks_ns=(15, 16),
    chunk_tokens=(1, 2),
    body_bytes=19,
    connect_ns=20,
    text_sha256="ab" * 32,
    error="it stopped: \ud83d\n",
    tls_ns=21,
    dns_ns=22,
    scenario="short",
    turn=3,
    prompt_tokens_asked=23,
    raw_head="\x00\xff",
    read_lag_ns=24,
    left_ns=25,
)
WINDOW, CLIENT = Window(5, 9), ClientCheck(0.001, 0.25, 0.003, 0.5)


def write(path: Path, *records: RequestRecord, end: bool = True, stopped: str | None = None) -> Path:
    with Journal(path, "a-run", {"seed": 7, "workload": {"users": 2}}, ClockAnchor(100, 200)) as journal:
        for one in records:
            journal.append(one)
        if end:
            journal.end(WINDOW, CLIENT, stopped)
    return path


def test_every_field_of_a_record_is_read_again(tmp_path: Path) -> None:
    bare = RequestRecord(0, "a", 0, Phase.MEASURED, Outcome.NOT_SENT, 1)
    run = load_run(write(tmp_path / "loads" / "a.jsonl", FULL, bare))
    assert run.records == (bare, FULL)
    assert all(getattr(FULL, name) is not None for name in FULL.__dataclass_fields__), (
        "FULL has a field unset"
    )


def test_a_record_that_was_read_is_one_like_any_other(tmp_path: Path) -> None:
    (read,) = load_run(write(tmp_path / "a.jsonl", FULL)).records
    assert type(read) is RequestRecord
    assert (repr(read), hash(read), replace(read, turn=4)) == (repr(FULL), hash(FULL), replace(FULL, turn=4))
    with pytest.raises(FrozenInstanceError):
        read.index = 4  # type: ignore[misc]


def test_all_that_is_said_of_a_run_is_read_again(tmp_path: Path) -> None:
    run = load_run(write(tmp_path / "a.jsonl", FULL))
    assert (run.name, run.description) == ("a-run", {"seed": 7, "workload": {"users": 2}})
    assert (run.anchor, run.window, run.client) == (ClockAnchor(100, 200), WINDOW, CLIENT)
    assert (run.complete, run.stopped_because, run.problems) == (True, None, ())


def test_a_run_that_was_stopped_is_not_complete_and_says_why(tmp_path: Path) -> None:
    run = load_run(write(tmp_path / "a.jsonl", FULL, stopped="20 requests in a row failed"))
    assert (run.complete, run.stopped_because, run.problems) == (False, "20 requests in a row failed", ())


def test_a_run_without_an_end_line_was_cut_off(tmp_path: Path) -> None:
    run = load_run(write(tmp_path / "a.jsonl", FULL, end=False))
    assert (run.complete, run.stopped_because, run.window, run.client) == (False, "cut off", None, None)
    assert run.problems == ("the run was cut off: the journal has no closing line",)
    assert run.records == (FULL,)


def test_a_journal_torn_at_any_byte_keeps_every_whole_record(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.jsonl", record(0), record(1)).read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    assert len(ends) == 4
    torn = tmp_path / "torn.jsonl"
    for cut in range(ends[0], len(whole)):
        torn.write_bytes(whole[:cut])
        run = load_run(torn)
        # A line without its line end is whole too; only its content counts.
        assert len(run.records) == sum(end - 1 <= cut for end in ends[1:3]), cut
        assert run.complete is (cut == len(whole) - 1), cut
        half = cut not in ends and cut + 1 not in ends
        assert any("torn" in problem for problem in run.problems) is half, cut


def test_a_line_torn_in_the_middle_is_left_out_and_numbered(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", record(0), record(1), record(2))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], lines[2][:20], *lines[3:]]))
    run = load_run(path)
    assert [one.index for one in run.records] == [0, 2]
    assert run.problems == (
        "line 3 is torn or not JSON and was left out",
        "its end line counts 3 requests, 2 are there",
    )


def test_request_lines_cut_out_whole_are_missed_by_the_end_line(tmp_path: Path) -> None:
    warmup = replace(record(0), phase=Phase.WARMUP)
    path = write(tmp_path / "a.jsonl", warmup, *(record(n) for n in range(1, 6)))
    lines = path.read_bytes().split(b"\n")  # the head, six requests, the end, and nothing after it
    assert orjson.loads(lines[7])["requests"] == 6
    assert load_run(path).problems == ()
    for kept, there in ((lines[1:4], 3), (lines[2:7], 5), ([], 0), ([*lines[1:7], lines[3]], 7)):
        path.write_bytes(b"\n".join([lines[0], *kept, *lines[7:]]))
        run = load_run(path)
        assert len(run.records) == there
        assert run.problems == (f"its end line counts 6 requests, {there} are there",)


def test_bad_requests_cut_out_of_a_journal_never_make_an_objective_met(tmp_path: Path) -> None:
    judged = ServiceLevelObjective("a.ttft", "An answer begins soon", "a", "ttft_s", "p50", at_most=10.0)
    good = [replace(record(n), index=n) for n in range(100)]
    bad = [replace(record(0), index=n, outcome=Outcome.FAILED) for n in range(100, 200)]
    path = write(tmp_path / "a.jsonl", *good, *bad)
    assert evaluate(summarize(load_run(path)), judged).state is not State.MET
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:101], *lines[201:]]))
    verdict = evaluate(summarize(load_run(path)), judged)
    assert verdict.state is State.INCONCLUSIVE
    assert "its end line counts 200 requests, 100 are there" in verdict.reason
    path.write_bytes(path.read_bytes().replace(b',"requests":200', b""))
    assert evaluate(summarize(load_run(path)), judged).state is State.MET  # but for the count


def test_a_journal_of_before_whose_end_line_counts_nothing_is_read_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", record(0), record(1))
    path.write_bytes(path.read_bytes().replace(b',"requests":2}', b"}"))
    assert b'"requests"' not in path.read_bytes()
    run = load_run(path)
    assert (len(run.records), run.complete, run.problems) == (2, True, ())


def test_lines_cut_out_of_one_part_are_a_problem_of_the_whole_run(tmp_path: Path) -> None:
    for number, kept in ((1, 3), (2, 2)):
        path = tmp_path / f"a.{number}of2.jsonl"
        lines = write(path, *(record(2 * n + number) for n in range(3))).read_bytes().split(b"\n")
        path.write_bytes(b"\n".join([*lines[: 1 + kept], *lines[4:]]))
    run = load_run(tmp_path / "a.jsonl")
    assert len(run.records) == 5
    assert run.problems == ("its end line counts 3 requests, 2 are there",)


@pytest.mark.parametrize(
    "first",
    [b"", b"\n\n", b"not json\n", b"[]\n", b"1\n", b'{"kind":"request"}\n', b'{"kind":"run","schema":99}\n'],
)
def test_a_file_that_does_not_begin_like_a_journal_is_refused(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(first)
    with pytest.raises(JournalError) as caught:
        load_run(path)
    assert str(path) in str(caught.value)
    assert '"kind": "run", "schema": 1' in str(caught.value)


def test_a_torn_first_line_before_whole_records_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", record(0))
    path.write_bytes(path.read_bytes()[5:])
    with pytest.raises(JournalError, match="not a journal"):
        load_run(path)


def test_a_record_of_another_shape_is_a_journal_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", record(0))
    path.write_bytes(path.read_bytes().replace(b"COMPLETED", b"PERHAPS"))
    with pytest.raises(JournalError, match="PERHAPS"):
        load_run(path)


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"none\.jsonl"):
        load_run(tmp_path / "none.jsonl")


def test_a_full_disk_is_a_journal_error_that_says_so() -> None:
    with pytest.raises(JournalError) as caught:
        Journal(Path("/dev/full"), "a-run", {}, ClockAnchor(0, 0))
    assert "No space left on device" in str(caught.value)
    assert "--results" in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_journal_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot write the journal"):
        Journal(tmp_path / "file" / "a.jsonl", "a-run", {}, ClockAnchor(0, 0))


def test_another_process_reads_each_record_while_the_journal_is_open(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    count = [sys.executable, "-c", f"print(open({str(path)!r}, 'rb').read().count(b'request_id'))"]
    with Journal(path, "a-run", {}, ClockAnchor(0, 0)) as journal:
        for number in (1, 2):
            journal.append(record(number))
            assert subprocess.run(count, capture_output=True, check=True).stdout.split() == [b"%d" % number]


def test_a_killed_client_loses_no_record_that_it_had_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from instruments.clock import ClockAnchor\nfrom instruments.journal import Journal\n"
        "from tests.instruments.shapes import record\n"
        "journal = Journal(Path(sys.argv[1]), 'a-run', {}, ClockAnchor(0, 0))\n"
        "for index in range(5): journal.append(record(index))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script, str(path)], cwd=here, check=False)
    assert ended.returncode == -9
    assert len(load_run(path).records) == 5


def test_records_are_read_in_the_order_of_their_requests(tmp_path: Path) -> None:
    shuffled = [replace(record(0), index=index) for index in (4, 1, 3)]
    assert [one.index for one in load_run(write(tmp_path / "a.jsonl", *shuffled)).records] == [1, 3, 4]


def test_a_run_of_parts_was_decided_where_any_part_was_cut_short(tmp_path: Path) -> None:
    """The first process had sent all of its share when the others were told that it is enough."""
    description = {"sampling": {"looks": "open"}}
    for number, decided_at in ((1, None), (2, 7)):
        path = tmp_path / f"a.{number}of2.jsonl"
        with Journal(path, "a-run", description, ClockAnchor(100, 200)) as journal:
            journal.append(record(number))
            journal.end(WINDOW, CLIENT, None, decided_at)
    run = load_run(tmp_path / "a.jsonl")
    assert run.description == {"sampling": {"looks": "open", "decided": True, "decided_at": 7}}
    assert ([one.index for one in run.records], run.complete) == ([1, 2], True)


def test_equal_counts_of_tokens_are_one_object_in_memory(tmp_path: Path) -> None:
    counted = [replace(FULL, index=index, chunk_tokens=(1, 2)) for index in range(3)]
    records = load_run(write(tmp_path / "a.jsonl", *counted)).records
    assert {id(one.chunk_tokens) for one in records} == {id(records[0].chunk_tokens)}
    assert [one.chunk_tokens for one in records] == [(1, 2)] * 3


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_is_collected_after_reading_as_it_was_before(tmp_path: Path, collecting: bool) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b'{"kind":"run"}\n')
    was = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        load_run(write(tmp_path / "a.jsonl", FULL))
        assert gc.isenabled() is collecting
        with pytest.raises(JournalError):
            load_run(broken)
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if was else gc.disable)()


def test_a_field_of_a_later_version_is_passed_over_and_an_empty_line_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", FULL)
    path.write_bytes(path.read_bytes().replace(b'"kind":"request",', b'"kind":"request","later":1,') + b"\n")
    run = load_run(path)
    assert (run.records, run.problems) == ((FULL,), ())

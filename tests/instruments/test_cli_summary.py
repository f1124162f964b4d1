"""The summary, as a table and as a document, of runs whose numbers are worked out by hand."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from instruments.__main__ import main
from instruments.cli.document import document
from instruments.cli.figures import distribution
from instruments.cli.summary import Exit, status
from instruments.cli.table import table
from instruments.journal import Journal
from instruments.records import LoadRun, Outcome, Phase
from instruments.statistics import summarize
from tests.instruments.shapes import CALM, SECOND, load_run, record

JOURNAL = Path("results/by-hand/a-run.jsonl")


def ramp(*, failed: int = 0) -> LoadRun:
    """Twenty requests with TTFTs of 1 s to 20 s, each of three tokens within two seconds more."""
    good = [record(number, ttft=number + 1) for number in range(20)]
    bad = [replace(record(20 + number, Outcome.FAILED), error="HTTP 500: no") for number in range(failed)]
    run = load_run([*good, *bad], seconds=40)
    return replace(run, description={"model": "tiny", "api": "chat", "base_url": "http://host", "seed": 7})


def told(run: LoadRun) -> str:
    return table(run, summarize(run), JOURNAL)


def row(text: str, label: str) -> list[str]:
    """The cells of a line of the table."""
    return next(line for line in text.splitlines() if line.startswith(label)).removeprefix(label).split()


def test_a_distribution_by_hand() -> None:
    found = distribution([float(value) for value in range(1, 21)])
    assert (found.count, found.mean, found.max) == (20, 10.5, 20.0)
    # The smallest value with at least that share at or below it: the 10th, 18th, 19th and 20th of 20.
    assert (found.p50, found.p90, found.p95, found.p99) == (10.0, 18.0, 19.0, 20.0)
    # 0.95^20 = 0.36 of all samples lie wholly below the p95: twenty values cannot bound it from above.
    assert found.p95_interval is None
    assert found.p99_interval is None


def test_intervals_are_there_when_the_sample_can_bear_them() -> None:
    found = distribution([float(value) for value in range(1, 1001)])
    # Normal approximation: 950 ± 1.96 · sqrt(1000 · 0.95 · 0.05) = 936.5 to 963.5.
    assert found.p95_interval is not None
    low, high = found.p95_interval
    assert low == pytest.approx(936.5, abs=2)
    assert high == pytest.approx(963.5, abs=2)
    assert found.p99_interval is not None
    assert distribution([1.0] * 1000, alone=False).p95_interval is None


def test_nothing_has_no_numbers() -> None:
    found = distribution([], undefined=4)
    assert (found.count, found.undefined, found.mean, found.p50, found.max) == (0, 4, None, None, None)


def test_the_table_says_each_number_with_its_count() -> None:
    text = told(ramp(failed=5))
    assert "due         25 requests in 40 s" in text
    assert "COMPLETED   20 of 25 (80.00%)" in text
    assert "FAILED      5 of 25 (20.00%)" in text
    assert "TIMED_OUT" not in text
    assert row(text, "TTFT  ") == [
        "20",
        "10,500.0",
        "10,000.0",
        "18,000.0",
        "19,000.0",
        "20,000.0",
        "20,000.0",
    ]
    assert row(text, "TPOT") == ["20", *["1,000.0"] * 6]  # two seconds for the two tokens after the first
    assert row(text, "ITL") == ["0", *["–"] * 6]  # nobody told how many tokens each chunk carried
    assert row(text, "chunk gap")[0] == "20"
    assert "achieved 0.625, completed 0.5" in text  # 25 and 20 in 40 s
    assert "5 FAILED: HTTP 500: no" in text
    assert "tiny by chat at http://host, seed 7" in text


def test_the_document_says_the_same_with_units_in_its_names() -> None:
    run = ramp(failed=5)
    found = document(run, summarize(run), JOURNAL)
    assert json.loads(json.dumps(found)) == found
    assert found["requests"] == {
        "due": 25,
        "completed": 20,
        "truncated": 0,
        "refused": 0,
        "rate_limited": 0,
        "timed_out": 0,
        "failed": 5,
        "cancelled": 0,
        "not_sent": 0,
        "errors": 5,
        "error_share": 0.2,
    }
    assert found["latencies"]["ttft_s"] == {
        "count": 20,
        "undefined": 0,
        "mean": 10.5,
        "p50": 10.0,
        "p90": 18.0,
        "p95": 19.0,
        "p95_interval": None,
        "p99": 20.0,
        "p99_interval": None,
        "max": 20.0,
    }
    assert found["latencies"]["itl_s"]["count"] == 0
    assert found["latencies"]["itl_s"]["undefined"] == 20
    assert found["client"]["cpu_share"] == CALM.cpu_share
    assert found["completed_per_s"] == 0.5
    assert found["output_tokens"] == 60


def test_a_run_of_nothing_has_dashes_and_no_zero_latencies() -> None:
    run = load_run([], client=None)
    text = told(run)
    assert row(text, "TTFT  ") == ["0", *["–"] * 6]
    assert "not known" in text
    assert document(run, summarize(run), JOURNAL)["requests"]["error_share"] is None
    assert document(run, summarize(run), JOURNAL)["client"] is None


def test_warm_up_is_not_in_the_summary() -> None:
    run = load_run([record(0, ttft=9, phase=Phase.WARMUP), record(1, ttft=1)])
    assert row(told(run), "TTFT  ")[0] == "1"


VOID = replace(CALM, cpu_share=0.99)


@pytest.mark.parametrize(
    ("run", "exit_status"),
    [
        (ramp(), Exit.COMPLETED),
        (ramp(failed=1), Exit.INCOMPLETE),
        (load_run([]), Exit.INCOMPLETE),
        (load_run([record()], complete=False), Exit.INCOMPLETE),
        (load_run([record()], problems=("a line is torn",)), Exit.INCOMPLETE),
        (load_run([record(), record(1, Outcome.CANCELLED)]), Exit.COMPLETED),  # it left on purpose
        (load_run([record()], client=VOID), Exit.VOID),
        (load_run([record(), record(1, Outcome.FAILED)], client=VOID), Exit.VOID),
    ],
)
def test_the_exit_status(run: LoadRun, exit_status: Exit) -> None:
    assert status(summarize(run)) == exit_status


def test_a_void_run_says_why() -> None:
    assert "VOID: the client used 99% of a core" in told(load_run([record()], client=VOID))


def test_a_stopped_run_says_why() -> None:
    assert "STOPPED: 20 requests in a row failed" in told(load_run([record()], complete=False))


def test_a_servers_words_do_not_steer_the_terminal() -> None:
    run = load_run([replace(record(0, Outcome.FAILED), error="HTTP 500: \x1b[2Jgone\r")])
    assert "\x1b" not in told(run)
    assert "HTTP 500: �[2Jgone�" in told(run)


def test_a_models_name_does_not_steer_the_terminal_either() -> None:
    run = replace(ramp(), description={"model": "tiny\x1b[2J", "api": "chat"})
    assert "tiny�[2J by chat" in told(run)


def test_what_failed_in_the_warm_up_is_told_with_its_reason() -> None:
    early = replace(record(0, Outcome.FAILED, phase=Phase.WARMUP), error="HTTP 500: cold")
    assert "1 FAILED of the warmup: HTTP 500: cold" in told(load_run([early, record(1)]))


def test_answers_that_do_not_tell_their_tokens_are_counted_as_undefined() -> None:
    tells = replace(record(0), chunk_tokens=(1,) * len(record(0).chunks_ns))
    assert "ITL: undefined for 1 of 2 completed" in told(load_run([tells, record(1)]))


def test_an_assumed_error_of_stamps_is_called_assumed() -> None:
    assert "at p99 at most (assumed, not calibrated)" in told(ramp())
    calibrated = replace(ramp(), description={"calibration": {"error_p99_s": 0.0001}})
    assert "at p99 at most" in told(calibrated)
    assert "assumed" not in told(calibrated)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_stream_of_another_encoding_gets_what_it_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    run, path = ramp(failed=1), tmp_path / "run.jsonl"
    with Journal(path, run.name, {"model": "größe–tiny"}, run.anchor) as journal:
        for one in run.records:
            journal.append(one)
        journal.end(run.window, CALM, None)
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="latin-1") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["show", str(path), *words]) == Exit.INCOMPLETE
        stream.flush()
        said = raw.getvalue().decode("latin-1")
    if words:
        assert json.loads(said)["model"] == "größe–tiny"
    else:
        assert "größe?tiny" in said


def test_a_certificate_that_nobody_looked_at_is_said() -> None:
    run = replace(ramp(), description={"tls_verified": False})
    assert "NOT verified" in told(run)
    assert "NOT verified" not in told(ramp())


def test_show_reads_a_run_of_several_processes_by_any_of_its_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ramp()
    for number in (1, 2):
        path = tmp_path / f"run.{number}of2.jsonl"
        with Journal(path, run.name, run.description, run.anchor) as journal:
            for one in run.records[number - 1 :: 2]:
                journal.append(one)
            journal.end(run.window, CALM, None)
    for name in ("run.jsonl", "run.2of2.jsonl"):
        assert main(["show", str(tmp_path / name)]) == Exit.COMPLETED
        assert "COMPLETED   20 of 20" in capsys.readouterr().out
    assert run.window is not None
    assert run.window.end_ns == 40 * SECOND


def test_show_says_what_a_torn_journal_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, path = ramp(), tmp_path / "run.jsonl"
    with Journal(path, run.name, run.description, run.anchor) as journal:
        for one in run.records:
            journal.append(one)
    path.write_bytes(path.read_bytes()[:-30])
    assert main(["show", str(path)]) == Exit.INCOMPLETE
    said = capsys.readouterr().out
    assert "COMPLETED   19 of 19" in said
    assert "torn" in said
    assert "cut off" in said

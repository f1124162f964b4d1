"""A client's records laid beside a server's log: errors worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from instruments.calibration import Truth, compared, read_truths
from instruments.errors import JournalError
from instruments.records import Outcome, RequestRecord
from tests.instruments.shapes import load_run, record

MS = 1_000_000


def seen(index: int, sent_ms: float, *chunks_ms: float) -> RequestRecord:
    return replace(
        record(index),
        sent_ns=round(sent_ms * MS),
        chunks_ns=tuple(round(one * MS) for one in chunks_ms),
        first_token_ns=round(chunks_ms[0] * MS),
    )


def did(arrival_ms: float, *sends_ms: float) -> Truth:
    return Truth(round(arrival_ms * MS), tuple(round(one * MS) for one in sends_ms))


def test_errors_are_differences_of_instants_and_of_p99() -> None:
    """Request 0 is seen 1 ms late at every chunk, request 1 is right but for its last, 5 ms late.

    TTFT: the client says 10.5 and 19.5 ms after its own sending; the server took 9 and 19 ms from the
    arrival, half a millisecond after that. p99 of two is the larger: 19.5 − 19.
    """
    run = load_run([seen(0, 0, 10.5, 20.5), seen(1, 100, 119.5, 134.5)])
    truths = {"request-0": did(0.5, 9.5, 19.5), "request-1": did(100.5, 119.5, 129.5)}
    error = compared(run, truths)
    assert (error.requests, error.compared, error.chunks) == (2, 2, 4)
    assert error.ttft_p99_error_s == pytest.approx(0.0005)
    assert error.itl_p99_error_s == pytest.approx(0.005)  # gaps of 10 and 15 ms against 10 and 10
    assert error.chunk_error_p50_s == pytest.approx(0.001)  # 0, 1, 1, 5
    assert error.chunk_error_p99_s == error.chunk_error_max_s == pytest.approx(0.005)
    assert error.send_error_p99_s == pytest.approx(0.0005)
    assert error.error_p99_s == error.chunk_error_p99_s


def test_a_stamp_before_its_sending_is_as_wrong_as_one_after_it() -> None:
    error = compared(load_run([seen(0, 0, 8, 20)]), {"request-0": did(0, 10, 20)})
    assert error.chunk_error_p99_s == pytest.approx(0.002)


def test_only_what_both_have_seen_to_its_end_is_compared() -> None:
    cut = replace(seen(1, 0, 10), outcome=Outcome.TRUNCATED)
    merged = seen(2, 0, 10)  # one chunk where the server sent two: no chunk can be laid beside another
    run = load_run([seen(0, 0, 10), cut, merged, seen(3, 0, 10)])
    truths = {"request-0": did(0, 9), "request-1": did(0, 9), "request-2": did(0, 9, 10)}
    error = compared(run, truths)
    assert (error.requests, error.compared, error.chunks, error.uneven) == (4, 2, 1, 1)
    assert error.error_p99_s is None  # what could not be compared vouches for nothing


def test_a_servers_own_lateness_is_told_and_is_no_error_of_the_client() -> None:
    truth = Truth(0, (10 * MS, 21 * MS), (10 * MS, 20 * MS))
    error = compared(load_run([seen(0, 0, 10, 21)]), {"request-0": truth})
    assert error.server_late_p99_s == pytest.approx(0.001)
    assert error.chunk_error_p99_s == 0.0


def test_nothing_compared_is_nothing_known() -> None:
    error = compared(load_run([seen(0, 0, 10)]), {})
    assert (error.compared, error.ttft_p99_error_s, error.error_p99_s) == (0, None, None)


def test_a_servers_log_is_read_and_a_torn_last_line_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    line = json.dumps({"request_id": "a", "arrival_ns": 5, "sends": [7, 9], "finish": "length"})
    log.write_text(f"{line}\n{line.replace('5', '6').replace('a', 'b', 1)[:20]}")
    assert read_truths(log) == {"a": Truth(5, (7, 9))}


@pytest.mark.parametrize("line", ["{", "[]", '{"request_id": "a", "arrival_ns": 5}', '{"sends": 3}'])
def test_a_line_that_is_none_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f'{{"request_id": "a", "arrival_ns": 5, "sends": []}}\n{line}\n')
    with pytest.raises(JournalError, match=r"log\.jsonl:2 is not a line"):
        read_truths(log)


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot read the server's log"):
        read_truths(tmp_path / "none")

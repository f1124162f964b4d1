"""Readings: what each client wrote, a server's trace and our own records, read into known figures."""

import json
import struct
from dataclasses import replace

import pytest

from benchmarks.peers import aiperf, guidellm, k6, ours, receiver, scripted, vllm_results
from benchmarks.peers.peer import Reading
from benchmarks.scenarios import ONE
from benchmarks.server import Truth, truth_of
from instruments.records import Outcome, Phase, RequestRecord

MS = 1_000_000
VLLM = """{"completed": 2, "errors": ["", "Bad Gateway", ""], "ttfts": [0.052, 0.0, 0.061],
           "itls": [[0.01, 0.012], [], [0.011]]}"""
GUIDELLM = """{"benchmarks": [{"requests": {"errored": [{"time_to_first_token_ms": 7.0}], "incomplete": [],
               "successful": [{"time_to_first_token_ms": 52.5}, {"time_to_first_token_ms": null}]}}]}"""
AIPERF = """{"metrics": {"time_to_first_token": {"value": 52.5}, "inter_chunk_latency": {"value": [10, 12]}}}
{"metrics": {"error_isl": {"value": 32}}, "error": {"code": 502}}
{"metrics": {"time_to_first_token": {"value": 61.5, "unit": "ms"}}}"""
K6 = """{"metrics": {"checks": {"values": {"rate": 0.75, "passes": 3, "fails": 1}},
         "http_req_waiting": {"values": {"avg": 50.0, "p(50)": 50.5, "p(99)": 61.25, "max": 70.0}}}}"""
SCRIPTED = "[[0.052, 0.062, 0.074], [], [0.061]]"  # seconds since sending
RECEIVER = struct.pack("=8q", 9 * MS, 3, 61 * MS, 71 * MS, 83 * MS, 70 * MS, 1, 131 * MS)


def test_values_per_request_are_read_in_milliseconds_and_failed_requests_left_out() -> None:
    for reading, ttft_ms, itl_ms in (
        (vllm_results.parse(VLLM), [52, 61], [10, 12, 11]),
        (guidellm.parse(GUIDELLM), [52.5], []),
        (aiperf.parse(AIPERF), [52.5, 61.5], [10, 12]),
        (scripted.parse(SCRIPTED), [52, 61], [10, 12]),
        (receiver.parse(RECEIVER), [52, 61], [10, 12]),
    ):
        assert (reading.completed, reading.ttft_p99_ms) == (2, None)
        assert reading.ttft_ms == pytest.approx(ttft_ms)
        assert reading.itl_ms == pytest.approx(itl_ms)
    assert k6.parse(K6) == Reading(completed=3, ttft_p99_ms=61.25)  # its own, and whole answers only


def test_output_without_figures_is_an_error_that_fails_the_run() -> None:
    texts = {vllm_results: "{}", guidellm: '{"benchmarks": []}', aiperf: "{}", k6: "{}", scripted: ""}
    for peer, text in texts.items():
        with pytest.raises((LookupError, ValueError)):
            peer.parse(text)
    for cut in (RECEIVER[:4], RECEIVER[:8], struct.pack("=2q", 1, 0)):
        with pytest.raises((LookupError, ValueError)):
            receiver.parse(cut)


def _record(due_ms: int, lag_ms: int, *after_ms: int, outcome: Outcome = Outcome.COMPLETED) -> RequestRecord:
    """Sent `lag_ms` after it was due; a chunk so long after that."""
    sent_ns = (due_ms + lag_ms) * MS
    chunks = tuple(sent_ns + one * MS for one in after_ms)
    whole = RequestRecord(0, "r", 0, Phase.MEASURED, outcome, due_ms * MS, sent_ns, chunks_ns=chunks)
    return replace(whole, first_token_ns=chunks[0]) if chunks else whole


def test_our_records_give_latencies_of_the_completed_and_sending_of_all_that_were_sent() -> None:
    late = _record(2000, 2, 80, outcome=Outcome.TIMED_OUT)
    unsent = RequestRecord(9, "r", 0, Phase.MEASURED, Outcome.NOT_SENT, 9000 * MS)
    empty = _record(1500, 1)
    found = ours.reading([late, _record(0, 1, 50, 60, 72), _record(1000, 3, 61), empty, unsent])
    assert (found.completed, found.ttft_ms, found.itl_ms) == (2, (50.0, 61.0), (10.0, 12.0))
    # Lags 1, 1, 2, 3: the 99th percentile lies 0.97 of the way from the third to the fourth.
    assert found.extra == pytest.approx({"send_lag_p99_ms": 2.97, "achieved_share": 2000 / 2002})
    assert ours.reading([_record(0, 1, 50)]).extra == {}  # one request has no rate


def test_truth_is_of_the_last_requests_that_ended_and_counts_every_token() -> None:
    lines = [
        {"arrival_ns": 40 * MS, "sends": [90 * MS, 100 * MS, 112 * MS], "finish": "length"},
        {"arrival_ns": 0, "sends": [1 * MS], "finish": "length"},  # a probe of the client's own
        {"arrival_ns": 30 * MS, "sends": [91 * MS, 102 * MS], "finish": "length"},
        {"arrival_ns": 50 * MS, "sends": [99 * MS], "finish": "cancelled"},
        {"arrival_ns": 60 * MS, "sends": [], "finish": "length"},
    ]
    found = truth_of("\n".join(map(json.dumps, lines)), replace(ONE, requests=2))
    assert found == Truth(ttft_ms=(61.0, 50.0), itl_ms=(11.0, 10.0, 12.0), tokens=6, requests=2, probes=1)

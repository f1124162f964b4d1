"""What a run amounts to: every request that was due is counted, undefined is never 0."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from instruments.records import Outcome, Phase
from instruments.statistics import summarize
from tests.instruments.shapes import SECOND, load_run, record


def test_numbers_are_of_the_measured_requests_only() -> None:
    summary = summarize(
        load_run([record(0, ttft=9, phase=Phase.WARMUP), record(1, ttft=2), record(2, ttft=1)])
    )
    assert summary.due == 2
    assert summary.distributions["ttft_s"] == (1.0, 2.0)


def test_every_outcome_is_counted_among_those_that_were_due() -> None:
    summary = summarize(load_run(record(i, outcome) for i, outcome in enumerate(Outcome)))
    assert summary.due == 8
    assert summary.outcomes == dict.fromkeys(Outcome, 1)
    assert summary.completed == 1
    assert summary.errors == 6  # without COMPLETED, and without CANCELLED, which was the client's wish


def test_rates_are_over_the_window() -> None:
    records = [
        *(record(i, tokens=3) for i in range(4)),
        record(4, Outcome.FAILED),
        record(5, Outcome.NOT_SENT),
    ]
    records[5] = replace(records[5], sent_ns=None)
    summary = summarize(load_run(records, seconds=8))
    assert summary.duration_s == 8
    assert summary.achieved_per_s == 5 / 8
    assert summary.completed_per_s == 4 / 8
    assert (summary.output_tokens, summary.prompt_tokens) == (12, 20)
    assert summary.output_tokens_per_s == 12 / 8


def test_one_answer_without_usage_makes_the_sum_of_tokens_undefined() -> None:
    summary = summarize(load_run([record(0), record(1, tokens=None)]))
    assert summary.output_tokens is None
    assert summary.output_tokens_per_s is None


def test_a_run_in_which_all_failed_has_no_latencies_and_no_tokens() -> None:
    summary = summarize(load_run(record(i, Outcome.FAILED) for i in range(3)))
    assert summary.distributions["ttft_s"] == ()
    assert (summary.output_tokens, summary.itl_s, tuple(summary.chunk_gap_s)) == (None, None, ())
    assert (summary.due, summary.completed_per_s) == (3, 0.0)


def test_an_empty_run_has_no_number_at_all() -> None:
    summary = summarize(replace(load_run([]), window=None))
    assert (summary.due, summary.duration_s, summary.achieved_per_s, summary.completed_per_s) == (
        0,
        None,
        None,
        None,
    )
    assert (summary.send_lag_p99_s, summary.output_tokens) == (None, None)


def test_completed_requests_without_an_indicator_are_counted_beside_it() -> None:
    summary = summarize(load_run([record(0), record(1, tokens=1), record(2, Outcome.FAILED)]))
    assert summary.undefined["tpot_s"] == 1
    assert summary.undefined["ttft_s"] == 0
    assert summary.distributions["tpot_s"] == (1.0,)  # 2 s over 2 gaps


def test_gaps_between_tokens_are_those_of_the_answers_that_tell_them() -> None:
    counted = replace(record(0), chunk_tokens=(1, 2))
    both = summarize(load_run([counted, replace(counted, index=1)]))
    assert (tuple(both.itl_s or ()), both.undefined["itl_s"]) == ((0.0, 0.0, 2.0, 2.0), 0)
    mixed = summarize(load_run([counted, record(1)]))
    assert (tuple(mixed.itl_s or ()), mixed.undefined["itl_s"]) == ((0.0, 2.0), 1)
    assert tuple(mixed.chunk_gap_s) == (2.0, 2.0)
    none = summarize(load_run([record(0), record(1)]))
    assert (none.itl_s, none.undefined["itl_s"]) == (None, 2)


def test_the_lag_of_sending_is_a_high_quantile_over_all_that_were_sent() -> None:
    late = replace(record(0), sent_ns=SECOND // 2)
    summary = summarize(load_run([late, *(record(i) for i in range(1, 50))]))
    assert summary.send_lag_p99_s == 0.5
    summary = summarize(load_run([late, *(record(i) for i in range(1, 100))]))
    assert summary.send_lag_p99_s == 0.0


def test_an_open_loops_rates_are_its_gaps_over_the_time_that_they_took() -> None:
    """Due at 0, 2, 4 and 6 s: half a request a second; the last one was sent a second late, at 7 s."""
    made = [replace(record(i), due_ns=2 * i * SECOND, sent_ns=(2 * i + (i == 3)) * SECOND) for i in range(4)]
    summary = summarize(replace(load_run(made), description={"open_loop": True}))
    assert (summary.offered_per_s, summary.achieved_per_s) == (0.5, 3 / 7)
    assert summarize(replace(load_run(made[:1]), description={"open_loop": True})).offered_per_s is None


def test_a_closed_loop_offers_no_rate_and_achieves_what_it_sent_in_its_window() -> None:
    summary = summarize(load_run([record(i) for i in range(5)]))
    assert (summary.offered_per_s, summary.achieved_per_s) == (None, 0.5)


def test_a_turn_that_waited_for_a_user_is_no_part_of_an_arrival_rate() -> None:
    made = [replace(record(i), due_ns=i * SECOND, sent_ns=i * SECOND) for i in range(3)]
    made.append(replace(record(3), due_ns=50 * SECOND, sent_ns=50 * SECOND, turn=1))
    assert summarize(replace(load_run(made), description={"open_loop": True})).offered_per_s == 1.0


def test_what_a_journal_has_to_say_is_passed_on() -> None:
    summary = summarize(load_run([record(0)], complete=False, problems=("line 3 is torn",)))
    assert not summary.complete
    assert summary.stopped_because == "20 requests in a row failed"
    assert summary.problems == ("line 3 is torn",)


@pytest.mark.parametrize("outcome", [Outcome.TRUNCATED, Outcome.TIMED_OUT, Outcome.CANCELLED])
def test_a_latency_of_a_request_that_did_not_complete_is_no_latency(outcome: Outcome) -> None:
    summary = summarize(load_run([record(0), replace(record(1, ttft=9), outcome=outcome)]))
    assert summary.distributions["ttft_s"] == (1.0,)


def test_the_time_that_a_connection_took_is_no_lateness_of_the_client() -> None:
    # Due at 0, sent after 3 s, of which making the connection took 2.
    late = replace(record(0), sent_ns=3 * SECOND, connect_ns=2 * SECOND)
    assert summarize(load_run([late])).send_lag_p99_s == 1.0
    assert summarize(load_run([replace(late, connect_ns=None)])).send_lag_p99_s == 3.0


def test_a_load_by_hand_does_not_wait_for_numpy_before_it_begins() -> None:
    program = "import sys, instruments.cli.run; print(*{'numpy', 'pandas', 'pyarrow'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == ""

"""Loads over time: slices, requests in flight, tokens, gaps and errors, each counted on paper first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from instruments.records import Outcome, Phase
from instruments.telemetry.record import Series
from reports.charts.arrivals import arrivals, gap_bins
from reports.charts.errors import error_rows
from reports.charts.over_time import by_slice, client_series, in_flight, server_series
from reports.charts.slices import Slices, slices_of
from reports.loads import Load
from tests.reports.loads import NS, UNIX_S, load_of, request

FIVE = Slices(0, 5 * NS, 5, 5.0)


def five(load: Load) -> Slices:
    found = slices_of(load.summary, 5)
    assert found is not None
    return found


def test_three_requests_that_overlap() -> None:
    """0 to 3 s, 1 to 4 s, 2 to 5 s: one, two, three, two, one in flight."""
    records = [request(0, [0.5], 3), request(1, [1.5], 4), request(2, [2.5], 5)]
    assert in_flight(records, FIVE).tolist() == [1, 2, 3, 2, 1]


def test_what_was_in_flight_for_a_quarter_of_a_slice_is_a_quarter() -> None:
    """From 0.75 s to 1.5 s, and one that was there from before the window until its end."""
    records = [request(0.75, [1], 1.5), request(-3, [1], 9)]
    assert in_flight(records, FIVE).tolist() == [1.25, 1.5, 1, 1, 1]


def test_a_request_without_an_end_counts_to_the_end_and_one_never_sent_never() -> None:
    endless = request(3, outcome=Outcome.TIMED_OUT)
    unsent = request(1, outcome=Outcome.NOT_SENT, sent_ns=None)
    assert in_flight([endless, unsent], FIVE).tolist() == [0, 0, 0, 1, 1]


def test_a_client_that_left_was_in_flight_until_then() -> None:
    left = request(0, outcome=Outcome.CANCELLED, left_ns=2 * NS)
    assert in_flight([left], FIVE).tolist() == [1, 1, 0, 0, 0]


def test_instants_on_an_edge_belong_to_the_later_slice_and_the_end_to_the_last() -> None:
    instants = np.array([-1, 0, NS, 2 * NS - 1, 2 * NS, 5 * NS, 5 * NS + 1])
    assert FIVE.place(instants).tolist() == [-1, 0, 1, 1, 2, 4, 5]


def test_slices_reach_to_the_last_answer_and_begin_with_the_window() -> None:
    load = load_of([request(1, [2], 7)], (1, 5))
    assert (five(load).start_ns, five(load).end_ns, five(load).window_s) == (NS, 7 * NS, 4.0)


def test_a_run_that_was_cut_off_has_slices_from_its_first_sending() -> None:
    load = load_of([request(2, [3], 4), request(3, [4], 6)], None)
    assert (five(load).start_ns, five(load).end_ns, five(load).window_s) == (2 * NS, 6 * NS, None)


def test_a_load_of_which_nothing_was_sent_has_no_slices() -> None:
    load = load_of([request(1, outcome=Outcome.NOT_SENT, sent_ns=None)], None)
    assert slices_of(load.summary) is None


def test_ttft_by_slice_is_of_what_was_sent_in_it_and_failures_are_slower() -> None:
    """Second 0: 100 and 300 ms, and one that left on purpose, which says nothing. Second 1: 200 ms and one
    that failed, so no p95. Second 2: nothing."""
    records = [
        request(0.1, [0.2]),
        request(0.2, [0.5]),
        request(1.0, [1.2]),
        request(1.1, done_s=1.3, outcome=Outcome.FAILED),
        request(1.5, [1.6], phase=Phase.WARMUP),
        request(0.3, outcome=Outcome.CANCELLED, left_ns=4 * NS),
        request(3.0, outcome=Outcome.CANCELLED, left_ns=4 * NS),
    ]
    load = load_of(records)
    found = client_series(load.run, load.summary, FIVE)
    assert found.sent == (3, 2, 0, 1, 0)
    assert list(found.ttft_p50_s) == [pytest.approx(0.1), pytest.approx(0.2), None, None, None]
    assert list(found.ttft_p95_s) == [pytest.approx(0.3), None, None, None, None]


def test_tokens_are_counted_where_they_arrive() -> None:
    """Told token by token: 1 and 4 tokens in two chunks. Untold: 9 tokens spread over three chunks."""
    told = request(0, [0.5, 1.5], chunk_tokens=(1, 4), completion_tokens=5)
    untold = request(0, [2.2, 2.4, 4.5], chunk_tokens=None, completion_tokens=9)
    whole = request(0, done_s=3.5, completion_tokens=7)
    for records, tokens in (
        ([told], [1, 4, 0, 0, 0]),
        ([untold], [0, 0, 6, 0, 3]),
        ([whole], [0, 0, 0, 7, 0]),
    ):
        load = load_of(records)
        found = arrivals(load.run, load.summary, five(load)).tokens
        assert found is not None
        assert found.tolist() == pytest.approx(tokens)


def test_an_answer_without_a_count_leaves_tokens_undefined() -> None:
    load = load_of([request(0, [1, 2], completion_tokens=None, chunk_tokens=None)])
    assert arrivals(load.run, load.summary, five(load)).tokens is None


def test_gaps_of_20_ms_all_lie_in_one_bin() -> None:
    """Two answers of 51 tokens: 100 gaps of 20 ms, 50 each in the first second and the third."""
    records = [request(start, [start + 0.02 * n / 1 for n in range(51)][:50]) for start in (0, 2)]
    load = load_of(records)
    found = arrivals(load.run, load.summary, five(load))
    assert found.bins is not None
    assert found.gaps == 98
    assert found.heat.sum(axis=0).tolist() == [49, 0, 49, 0, 0]
    rows = np.flatnonzero(found.heat.sum(axis=1))
    assert rows.tolist() == [1]
    assert found.bins.edge_s(0) <= 0.02 < found.bins.edge_s(1)


def test_bins_divide_decades_and_hold_both_ends() -> None:
    """From 1 ms to 100 ms are two decades: nine bins each, edges at the tenth powers' ninths."""
    bins = gap_bins(0.001, 0.1)
    assert (bins.per_decade, bins.count) == (9, 19)
    assert bins.edge_s(0) == pytest.approx(0.001)
    assert bins.edge_s(9) == pytest.approx(0.01)
    edges = [bins.edge_s(at) for at in range(bins.count + 1)]
    assert all(later / earlier == pytest.approx(10 ** (1 / 9)) for earlier, later in pairwise(edges))
    assert bins.place(np.array([1_000_000, 9_999_999, 10_000_000, 100_000_000])).tolist() == [0, 8, 9, 18]


def test_tokens_of_one_chunk_are_gaps_of_0_and_the_first_chunk_is_no_gap() -> None:
    """4 tokens and then 3, a second apart: 3 and 2 gaps of 0, and one of 1 s."""
    load = load_of([request(0, [0.5, 1.5], chunk_tokens=(4, 3), completion_tokens=7)])
    found = arrivals(load.run, load.summary, five(load))
    assert found.of_tokens
    assert found.heat[0].tolist() == [3, 2, 0, 0, 0]
    assert found.heat[1:].sum(axis=0).tolist() == [0, 1, 0, 0, 0]
    assert load.summary.itl_s is not None
    assert found.gaps == len(load.summary.itl_s) == 6


def test_gaps_are_of_measured_answers_that_completed_as_the_pooled_ones_are() -> None:
    records = [
        request(0, [1, 2, 3]),
        request(0, [1, 2, 3], phase=Phase.WARMUP),
        request(0, [1, 2, 3], outcome=Outcome.TRUNCATED),
    ]
    load = load_of(records)
    found = arrivals(load.run, load.summary, five(load))
    assert found.gaps == len(load.summary.chunk_gap_s) == 2


def test_chunks_of_unknown_tokens_are_said_to_be_chunks() -> None:
    load = load_of([request(0, [1, 2, 2], chunk_tokens=None, completion_tokens=8)])
    found = arrivals(load.run, load.summary, five(load))
    assert (found.of_tokens, found.gaps) == (False, 2)
    assert int(found.heat[0].sum()) == 1


def test_errors_lie_where_they_were_known() -> None:
    """Two failed at 1.5 s and 4.5 s, one was never sent (due at 2 s), one was answered."""
    records = [
        request(0, done_s=1.5, outcome=Outcome.FAILED),
        request(0, done_s=4.5, outcome=Outcome.FAILED),
        request(2, outcome=Outcome.NOT_SENT, sent_ns=None),
        request(0, [1]),
    ]
    failed, unsent = error_rows(records, FIVE)
    assert (failed.outcome, failed.total, failed.counts) == (Outcome.FAILED, 2, (0, 1, 0, 0, 1))
    assert list(failed.marks_s) == pytest.approx([1.5, 4.5], abs=0.02)
    assert (unsent.outcome, unsent.counts, unsent.outside) == (Outcome.NOT_SENT, (0, 0, 1, 0, 0), 0)


def test_marks_of_many_errors_are_bounded_and_their_count_is_not() -> None:
    records = [request(0, done_s=n / 1000, outcome=Outcome.FAILED) for n in range(4999)]
    (row,) = error_rows(records, FIVE)
    assert row.total == sum(row.counts) == 4999
    assert len(row.marks_s) == 240


def test_the_servers_samples_lie_on_the_clients_seconds() -> None:
    """Its times are Unix seconds; the window began 1 s after the run's second 0."""
    running = Series((UNIX_S + 0.5, UNIX_S + 1.5, UNIX_S + 3.0, UNIX_S + 99.0), (9, 2, 4, 9))
    load = load_of([request(1, [2], 6)], (1, 6), series={"running": running, "unknown": running})
    found = server_series(load.summary, five(load))
    assert found is not None
    assert [gauge.name for gauge in found.gauges] == ["running"]
    assert (found.gauges[0].at_s, found.gauges[0].values) == ((0.5, 2.0), (2, 4))
    assert by_slice(found.gauges[0], five(load)) == (2, None, 4, None, None)


def test_gpus_are_taken_together() -> None:
    """Power of two cards adds up, utilisation is their mean, in slices where both have a sample."""
    at = (UNIX_S + 0.5, UNIX_S + 1.5)
    series = {
        "gpu0.power_w": Series(at, (100.0, 120.0)),
        "gpu1.power_w": Series(at, (200.0, 240.0)),
        "gpu0.utilisation_share": Series(at, (0.5, 1.0)),
        "gpu1.utilisation_share": Series(at[:1], (0.7,)),
    }
    load = load_of([request(0, [1], 5)], series=series)
    found = server_series(load.summary, five(load))
    assert found is not None
    power, use = found.gauges
    assert (found.gpus, power.values) == (2, (300.0, 360.0))
    assert list(use.values) == pytest.approx([0.6])


def test_a_server_of_which_no_sample_is_within_has_no_series() -> None:
    load = load_of([request(0, [1], 5)], series={"running": Series((UNIX_S - 10.0,), (1.0,))})
    assert server_series(load.summary, five(load)) is None
    assert server_series(load_of([request(0, [1], 5)]).summary, FIVE) is None

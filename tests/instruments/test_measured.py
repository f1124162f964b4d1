"""Millions of values at once against the same ones by one: pools of gaps, their means, latencies in order."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from instruments.records import Outcome, RequestRecord
from instruments.statistics import summarize
from instruments.statistics.indicators import INDICATORS, chunk_gap_s, chunk_gaps_s, itl_s, itls_s
from instruments.statistics.measured import Measured
from instruments.statistics.pooled import Pooled, arrivals
from tests.instruments.shapes import SECOND, load_run, record

MS = 1_000_000


def of_chunks(index: int, chunks_ms: tuple[int, ...], tokens: tuple[int, ...] | None) -> RequestRecord:
    """A completed answer whose chunks came at these milliseconds."""
    return replace(record(index), chunks_ns=tuple(at * MS for at in chunks_ms), chunk_tokens=tokens)


# Gaps of 10 and 20 ms, of 5 ms, none of a single chunk, none told, and 40 ms behind a first chunk of three.
ANSWERS = (
    of_chunks(0, (100, 110, 130), (1, 1, 1)),
    of_chunks(1, (7, 12), (1, 2)),
    of_chunks(2, (50,), (1,)),
    of_chunks(3, (60, 90), None),
    of_chunks(4, (200, 240), (3, 1)),
    of_chunks(5, (), None),
)


def rows(pooled: Pooled) -> list[list[float]]:
    ends = pooled.offsets.tolist()
    return [pooled.values[start:end].tolist() for start, end in pairwise(ends)]


def random_answers(seed: int) -> list[RequestRecord]:
    """Answers of no, one and many chunks, with a token a chunk, several, or nobody knows how many."""
    dice = random.Random(seed)
    made = []
    for index in range(dice.choice((0, 1, 2, 90))):
        at, instants = dice.randrange(10**15), []
        for _ in range(dice.choice((0, 1, 2, 3, 17))):
            instants.append(at)
            at += int(dice.lognormvariate(16, 1))
        counts = (None, (1,) * len(instants), tuple(dice.randint(1, 4) for _ in instants))
        told = dice.choice(counts) if instants else None
        made.append(replace(record(index), chunks_ns=tuple(instants), chunk_tokens=told))
    return made


def test_gaps_between_chunks_never_reach_from_one_answer_to_the_next() -> None:
    assert rows(chunk_gaps_s(ANSWERS)) == [[0.01, 0.02], [0.005], [], [0.03], [0.04], []]


def test_gaps_between_tokens_have_zeros_where_tokens_came_together() -> None:
    found = itls_s(ANSWERS, chunk_gaps_s(ANSWERS))
    assert rows(found) == [[0.01, 0.02], [0.005, 0.0], [], [], [0.0, 0.0, 0.04], []]
    assert found.told.tolist() == [True, True, True, False, True, False]


@pytest.mark.parametrize("seed", range(40))
def test_gaps_of_many_are_those_of_each_to_the_last_digit(seed: int) -> None:
    answers = random_answers(seed)
    chunks = chunk_gaps_s(answers)
    tokens = itls_s(answers, chunks)
    assert rows(chunks) == [list(chunk_gap_s(one)) for one in answers]
    assert rows(tokens) == [list(itl_s(one) or ()) for one in answers]
    assert tokens.told.tolist() == [itl_s(one) is not None for one in answers]


def test_with_a_token_a_chunk_both_kinds_of_gaps_are_one_array() -> None:
    single = [one for one in ANSWERS if one.chunk_tokens and set(one.chunk_tokens) == {1}]
    measured = Measured(single)
    assert measured.gaps("itl_s").values is measured.gaps("chunk_gap_s").values
    assert measured.ascending("itl_s") is measured.ascending("chunk_gap_s")


def test_an_answer_with_other_counts_than_chunks_is_refused() -> None:
    wrong = [*ANSWERS, of_chunks(6, (1, 2, 3), (2, 2))]
    with pytest.raises(ValueError, match="as many counts of tokens as it has chunks"):
        itls_s(wrong, chunk_gaps_s(wrong))


def test_means_are_added_up_in_their_order_and_end_in_the_same_digit() -> None:
    dice = random.Random(3)
    gaps = [[dice.lognormvariate(-4, 1) for _ in range(dice.choice((0, 1, 5, 400)))] for _ in range(60)]
    offsets = np.cumsum([0, *map(len, gaps)])
    pooled = Pooled(np.array([gap for one in gaps for gap in one]), offsets, np.ones(60, dtype=np.bool_))
    for mean, of_one in zip(pooled.means().tolist(), gaps, strict=True):
        total = 0.0
        for gap in of_one:  # not `sum`, which newer Pythons make more exact than what it adds
            total += gap
        assert mean == total / max(1, len(of_one))


def test_what_is_above_a_limit_is_counted_for_each_answer() -> None:
    found = chunk_gaps_s(ANSWERS)
    assert found.above(0.01).tolist() == [1, 0, 0, 1, 1, 0]  # at the limit is not above it
    assert found.above(0.0).tolist() == [2, 1, 0, 1, 1, 0]
    assert found.above(1.0).tolist() == [0] * 6


def test_only_what_completed_tells_gaps_and_keeps_its_place() -> None:
    left = replace(ANSWERS[0], outcome=Outcome.CANCELLED)
    found = Measured((left, *ANSWERS[1:])).gaps("chunk_gap_s")
    assert rows(found) == [[], [0.005], [], [0.03], [0.04], []]
    assert found.told.tolist() == [False, True, True, True, True, True]


def test_an_indicator_has_a_value_of_each_record_and_nan_where_it_is_undefined() -> None:
    records = [record(0, ttft=2), record(1, Outcome.FAILED), record(2, ttft=1, tokens=1)]
    measured = Measured(records)
    np.testing.assert_array_equal(measured.values("ttft_s"), [2.0, np.nan, 1.0])
    assert measured.distribution("ttft_s") == (1.0, 2.0)
    assert (measured.undefined("tpot_s"), measured.undefined("ttft_s")) == (1, 0)
    for name in (name for name, one in INDICATORS.items() if one.per_request):
        of = INDICATORS[name].of
        assert of is not None
        one_by_one = [np.nan if (value := of(one)) is None else value for one in records]
        np.testing.assert_array_equal(measured.values(name), one_by_one)
    with pytest.raises(ValueError, match="itl_s has no value of each request"):
        measured.values("itl_s")


def test_records_are_in_the_order_of_sending_and_unsent_ones_where_they_were_due() -> None:
    sent_late = replace(record(0), sent_ns=5 * SECOND)
    unsent = replace(record(1, Outcome.NOT_SENT, due=4), sent_ns=None)
    twins = [record(2, due=3), record(3, due=3)]
    assert Measured([sent_late, unsent, *twins]).in_order.tolist() == [2, 3, 1, 0]


def test_another_selection_of_a_summarys_records_is_measured_anew() -> None:
    summary = summarize(load_run([record(0, ttft=2), record(1, ttft=1)]))
    assert summary.measured.distribution("ttft_s") == (1.0, 2.0)
    half = replace(summary, records=summary.records[1:])
    assert half.measured.distribution("ttft_s") == (1.0,)
    assert summary.measured is summary.measured


def test_pooled_gaps_of_a_summary_can_be_read_and_not_written() -> None:
    gaps = summarize(load_run([ANSWERS[0]])).chunk_gap_s
    assert (list(gaps), len(gaps), gaps[-1], type(gaps[0])) == ([0.01, 0.02], 2, 0.02, float)
    with pytest.raises(TypeError):
        gaps[0] = 0.0  # type: ignore[index]


def test_arrivals_lie_end_to_end() -> None:
    at_ns, offsets = arrivals(ANSWERS)
    assert (at_ns[:5] // MS).tolist() == [100, 110, 130, 7, 12]
    assert offsets.tolist() == [0, 3, 5, 6, 8, 10, 10]
    assert [part.tolist() for part in arrivals([])] == [[], [0]]


def test_gaps_are_in_order_to_the_last_digit_whether_or_not_they_fit_into_32_bits() -> None:
    dice = random.Random(3)
    short = [dice.randrange(2**32) for _ in range(500)] + [0, 0, 2**32 - 1]
    for gaps_ns in (short, [*short, 2**32], [*short, 10**13 + 1], [*short, -7], []):
        values = np.array(gaps_ns, dtype=np.float64) / SECOND
        pooled = Pooled(values, np.array([0, len(values)]), np.ones(1, dtype=np.bool_))

        assert pooled.ascending().tolist() == sorted(gap / 1e9 for gap in gaps_ns)


def test_send_lags_are_those_of_who_was_sent_less_the_time_of_connecting() -> None:
    sent = replace(record(0), due_ns=5 * MS, sent_ns=9 * MS, connect_ns=None)
    connecting = replace(record(1), due_ns=5 * MS, sent_ns=35 * MS, connect_ns=29 * MS)
    never = replace(record(2), due_ns=5 * MS, sent_ns=None)

    assert Measured((sent, connecting, never)).send_lags().tolist() == [0.03 - 0.029, 0.004]


def test_an_instant_before_zero_is_one_and_an_instant_that_is_not_there_is_none() -> None:
    early = replace(record(0), due_ns=-3 * MS, sent_ns=-1 * MS, first_token_ns=MS)
    silent = replace(record(1), sent_ns=0, first_token_ns=None)

    ttft = Measured((early, silent)).values("ttft_s")

    assert ttft[0] == 0.002
    assert np.isnan(ttft[1])

"""The formulas, against numbers worked out by hand. The request is due at 1 s, sent at 1.25 s."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruments.records import Outcome, Phase, RequestRecord
from instruments.statistics import indicators
from instruments.statistics.indicators import INDICATORS

MS = 1_000_000
RECORD = RequestRecord(
    index=0,
    request_id="a",
    user=0,
    phase=Phase.MEASURED,
    outcome=Outcome.COMPLETED,
    due_ns=1_000 * MS,
    sent_ns=1_250 * MS,
    first_token_ns=1_750 * MS,
    last_token_ns=2_950 * MS,
    done_ns=3_000 * MS,
    completion_tokens=5,
    chunks_ns=(1_750 * MS, 2_000 * MS, 2_950 * MS),
    chunk_tokens=(1, 3, 1),
)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("ttft_s", 0.5),
        ("ttft_from_due_s", 0.75),
        ("tpot_s", 0.3),  # 1.2 s over four gaps
        ("e2e_s", 1.75),
        ("e2e_from_due_s", 2.0),
    ],
)
def test_an_indicator_of_a_completed_request(name: str, seconds: float) -> None:
    of = INDICATORS[name].of
    assert of is not None
    assert of(RECORD) == pytest.approx(seconds, rel=1e-12)


def test_the_lag_of_the_client_is_sent_minus_due() -> None:
    assert indicators.send_lag_s(RECORD) == 0.25
    assert indicators.send_lag_s(replace(RECORD, sent_ns=None)) is None


@pytest.mark.parametrize("tokens", [None, 0, 1])
def test_time_per_output_token_is_undefined_below_two_tokens(tokens: int | None) -> None:
    assert indicators.tpot_s(replace(RECORD, completion_tokens=tokens)) is None


def test_two_tokens_have_one_gap() -> None:
    assert indicators.tpot_s(replace(RECORD, completion_tokens=2)) == pytest.approx(1.2)


def test_without_a_token_there_is_no_time_to_it() -> None:
    silent = replace(RECORD, first_token_ns=None, last_token_ns=None, chunks_ns=(), chunk_tokens=None)
    assert indicators.ttft_s(silent) is None
    assert indicators.ttft_from_due_s(silent) is None
    assert indicators.tpot_s(silent) is None
    assert indicators.itl_s(silent) is None
    assert indicators.e2e_s(silent) == 1.75


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.COMPLETED])
def test_a_request_that_did_not_complete_has_no_end_to_end_time(outcome: Outcome) -> None:
    assert indicators.e2e_s(replace(RECORD, outcome=outcome)) is None
    assert indicators.e2e_from_due_s(replace(RECORD, outcome=outcome)) is None


def test_a_chunk_of_three_tokens_is_one_gap_and_two_zeros() -> None:
    assert indicators.itl_s(RECORD) == pytest.approx((0.25, 0.0, 0.0, 0.95))


def test_the_first_chunk_of_three_tokens_is_two_zeros() -> None:
    assert indicators.itl_s(replace(RECORD, chunk_tokens=(3, 1, 1))) == pytest.approx((0.0, 0.0, 0.25, 0.95))


def test_gaps_between_tokens_are_one_fewer_than_the_tokens() -> None:
    gaps = indicators.itl_s(replace(RECORD, chunk_tokens=(4, 2, 6)))
    assert gaps is not None
    assert len(gaps) == 11


def test_one_token_has_no_gap_which_is_not_the_same_as_unknown() -> None:
    one = replace(RECORD, chunks_ns=(1_750 * MS,), chunk_tokens=(1,))
    assert indicators.itl_s(one) == ()
    assert indicators.itl_s(replace(one, chunk_tokens=None)) is None


def test_gaps_between_chunks_need_no_counts() -> None:
    assert indicators.chunk_gap_s(replace(RECORD, chunk_tokens=None)) == pytest.approx((0.25, 0.95))
    assert indicators.chunk_gap_s(replace(RECORD, chunks_ns=())) == ()


def test_shares_and_counts_are_not_of_a_single_request() -> None:
    assert {name for name, one in INDICATORS.items() if not one.per_request} == {
        "error_share",
        "goodput_share",
        "errors",
    }

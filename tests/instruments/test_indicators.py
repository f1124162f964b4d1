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


KINDS = {
    "request": "ttft_s ttft_from_due_s tpot_s e2e_s e2e_from_due_s",
    "gap": "itl_s chunk_gap_s",
    "share": "error_share goodput_share",
    "count": "errors",
    "rate": "requests_per_s output_tokens_per_s goodput_per_s",
    "server": "queue_depth running kv_cache_usage preemptions server_ttft_s server_itl_s server_e2e_s",
    "gpu": "gpu_utilisation_share gpu_memory_bytes gpu_temperature_c gpu_power_w",
    "economy": "energy_j_per_good_token cost_per_good_token",
}


def of_kind(kind: str) -> list[str]:
    return [name for name, one in INDICATORS.items() if one.kind == kind]


def test_what_an_indicator_is_judged_on_is_its_kind() -> None:
    assert {kind: " ".join(of_kind(kind)) for kind in KINDS} == KINDS
    assert sum(len(of_kind(kind)) for kind in KINDS) == len(INDICATORS)


def test_only_requests_and_gaps_have_a_formula_of_a_record() -> None:
    assert [name for name, one in INDICATORS.items() if one.of is not None] == of_kind("request")
    assert [name for name, one in INDICATORS.items() if one.gaps is not None] == of_kind("gap")
    assert [name for name, one in INDICATORS.items() if one.metric] == [*of_kind("server"), *of_kind("gpu")]


def test_gaps_of_a_request_are_those_of_its_indicator() -> None:
    token, chunk = INDICATORS["itl_s"].gaps, INDICATORS["chunk_gap_s"].gaps
    assert token is not None
    assert chunk is not None
    assert token(RECORD) == pytest.approx((0.25, 0.0, 0.0, 0.95))
    assert chunk(RECORD) == pytest.approx((0.25, 0.95))
    assert token(replace(RECORD, chunk_tokens=None)) is None


QUANTILES = ("p50", "p75", "p90", "p95", "p99", "p99.9")


@pytest.mark.parametrize(
    ("kind", "statistics"),
    [
        ("request", {(*QUANTILES, "mean")}),
        ("gap", {(*QUANTILES, "mean")}),
        ("share", {("share",)}),
        ("count", {("count",)}),
        ("rate", {("rate",)}),
        ("server", {("max", "mean", "p95"), ("count",), QUANTILES}),
        ("gpu", {("max", "mean")}),
        ("economy", {("value",)}),
    ],
)
def test_a_kind_has_its_statistics(kind: str, statistics: set[tuple[str, ...]]) -> None:
    assert {INDICATORS[name].statistics for name in of_kind(kind)} == statistics


def test_more_is_better_of_rates_and_goodput_and_either_of_what_may_be_idle() -> None:
    sides = {name: one.side for name, one in INDICATORS.items() if one.side != "at_most"}
    assert sides == {
        "goodput_share": "at_least",
        "requests_per_s": "at_least",
        "output_tokens_per_s": "at_least",
        "goodput_per_s": "at_least",
        "running": "either",
        "gpu_utilisation_share": "either",
    }


def test_a_unit_follows_its_number_but_shares_and_counts_have_none() -> None:
    assert [INDICATORS[name].suffix for name in ("ttft_s", "gpu_power_w", "requests_per_s")] == [
        " s",
        " W",
        " requests/s",
    ]
    assert {INDICATORS[name].suffix for name in ("error_share", "errors", "queue_depth", "preemptions")} == {
        ""
    }


def test_only_three_indicators_are_known_from_buckets_alone() -> None:
    assert [name for name, one in INDICATORS.items() if one.histogram] == [
        "server_ttft_s",
        "server_itl_s",
        "server_e2e_s",
    ]

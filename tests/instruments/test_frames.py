"""The frames against numbers worked out by hand: one run of three requests, in whole seconds."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from instruments.clock import ClockAnchor
from instruments.frames import frames, request_frame, token_frame, zero_ns
from instruments.journal import Journal, load_run
from instruments.records import ClientCheck, LoadRun, Outcome, Phase, RequestRecord, Window
from instruments.statistics.indicators import itl_s
from tests.instruments.shapes import SECOND, record

# Chunks at 13, 14 and 17 s that carry 1, 3 and 2 tokens: due at 10, sent at 11, over at 18.
COUNTED = RequestRecord(
    index=1,
    request_id="counted",
    user=4,
    phase=Phase.MEASURED,
    outcome=Outcome.COMPLETED,
    due_ns=10 * SECOND,
    sent_ns=11 * SECOND,
    headers_ns=12 * SECOND,
    first_data_ns=12 * SECOND,
    first_token_ns=13 * SECOND,
    last_token_ns=17 * SECOND,
    done_ns=18 * SECOND,
    status=200,
    prompt_tokens=9,
    completion_tokens=6,
    finish_reason="length",
    chunks_ns=(13 * SECOND, 14 * SECOND, 17 * SECOND),
    chunk_tokens=(1, 3, 2),
    connect_ns=SECOND // 2,
    read_lag_ns=SECOND // 4,
)
UNCOUNTED = replace(
    COUNTED, index=2, request_id="uncounted", chunk_tokens=None, completion_tokens=None, connect_ns=None
)
NEVER = replace(
    record(3, Outcome.NOT_SENT, due=12), sent_ns=None, request_id="never", error="the run was stopped"
)


def a_run(*records: RequestRecord, start_s: int | None = 10) -> LoadRun:
    window = None if start_s is None else Window(start_s * SECOND, 20 * SECOND)
    # 1,000 s of the monotonic clock are half past midnight, 1 January 2026.
    return LoadRun("a-run", {}, ClockAnchor(1_000 * SECOND, 1_767_227_400 * SECOND), records, window)


@pytest.fixture
def requests() -> pd.DataFrame:
    return request_frame(a_run(COUNTED, UNCOUNTED, NEVER))


@pytest.fixture
def tokens() -> pd.DataFrame:
    return token_frame(a_run(COUNTED, UNCOUNTED, NEVER))


def test_a_request_is_a_row_with_its_instants_counted_from_the_window(requests: pd.DataFrame) -> None:
    assert list(requests.index) == ["counted", "uncounted", "never"]
    row = requests.loc["counted"]
    instants = ("due_s", "sent_s", "headers_s", "first_data_s", "first_token_s", "last_token_s", "done_s")
    assert [row[name] for name in instants] == [0, 1, 2, 2, 3, 7, 8]


def test_latencies_are_those_of_the_indicators(requests: pd.DataFrame) -> None:
    row = requests.loc["counted"]
    assert row["ttft_s"] == 2  # 13 − 11
    assert row["ttft_from_due_s"] == 3  # 13 − 10
    assert row["tpot_s"] == pytest.approx(0.8)  # (17 − 13) / (6 − 1)
    assert row["e2e_s"] == 7  # 18 − 11
    assert row["e2e_from_due_s"] == 8  # 18 − 10
    assert row["send_lag_s"] == 1  # 11 − 10
    assert row["connect_s"] == 0.5
    assert row["read_lag_s"] == 0.25


def test_what_did_not_happen_is_missing_and_never_zero(requests: pd.DataFrame) -> None:
    row = requests.loc["never"]
    assert row["outcome"] == "NOT_SENT"
    assert row["error"] == "the run was stopped"
    assert all(pd.isna(row[name]) for name in ("sent_s", "ttft_s", "tpot_s", "e2e_s", "connect_s"))
    assert row["status"] is pd.NA
    assert row["completion_tokens"] is pd.NA
    assert row["finish_reason"] is pd.NA
    assert row["chunks"] == 0
    assert np.isnan(requests["tpot_s"].to_numpy()[1])  # without `usage` nobody knows n


def test_the_dtypes_are_those_that_are_documented(requests: pd.DataFrame, tokens: pd.DataFrame) -> None:
    assert str(requests.index.dtype) == "string"
    whole = ["request_index", "user", "turn", "status", "prompt_tokens", "completion_tokens"]
    whole += ["prompt_tokens_asked", "body_bytes", "chunks"]
    words = ["phase", "outcome", "scenario", "finish_reason", "error", "text_sha256", "raw_head"]
    for name in requests.columns:
        seconds = name.endswith("_s")
        expected = "float64" if seconds else "Int64" if name in whole else "string" if name in words else ""
        assert name == "due_at" or str(requests[name].dtype) == expected, name
    assert str(requests["due_at"].dtype) == "datetime64[ns, UTC]"
    kinds = ["category", "Int64", "int64", "float64", "float64", "float64"]
    assert [str(kind) for kind in tokens.dtypes] == kinds


def test_a_due_instant_is_told_on_the_wall_clock_too(requests: pd.DataFrame) -> None:
    # 10 s of the monotonic clock are 990 s before half past midnight: 00:13:30.
    assert requests.loc["counted", "due_at"] == pd.Timestamp("2026-01-01T00:13:30Z")


def test_a_token_is_a_row_with_the_gap_before_it(tokens: pd.DataFrame) -> None:
    of_one = tokens[tokens["request_id"] == "counted"]
    assert list(of_one["token"]) == [1, 2, 3, 4, 5, 6]
    assert list(of_one["chunk"]) == [1, 2, 2, 2, 3, 3]
    assert list(of_one["arrival_s"]) == [3, 4, 4, 4, 7, 7]
    np.testing.assert_array_equal(of_one["gap_s"], [np.nan, 1, 0, 0, 3, 0])
    np.testing.assert_array_equal(of_one["chunk_gap_s"], [np.nan, 1, np.nan, np.nan, 3, np.nan])
    assert tuple(of_one["gap_s"].dropna()) == itl_s(COUNTED)


def test_chunks_without_counts_are_rows_without_token_numbers(tokens: pd.DataFrame) -> None:
    of_one = tokens[tokens["request_id"] == "uncounted"]
    assert of_one["token"].isna().all()
    assert list(of_one["chunk"]) == [1, 2, 3]
    assert of_one["gap_s"].isna().all()
    np.testing.assert_array_equal(of_one["chunk_gap_s"], [np.nan, 1, 3])


def test_a_first_chunk_of_several_tokens_has_zeros_and_no_gap_before_it() -> None:
    several = replace(COUNTED, chunks_ns=(13 * SECOND, 14 * SECOND), chunk_tokens=(3, 1), completion_tokens=4)
    rows = token_frame(a_run(several))
    np.testing.assert_array_equal(rows["gap_s"], [np.nan, 0, 0, 1])
    np.testing.assert_array_equal(rows["chunk_gap_s"], [np.nan, np.nan, np.nan, 1])


def test_both_frames_join_by_the_request_id() -> None:
    both = frames(a_run(COUNTED, UNCOUNTED, NEVER))
    joined = both.tokens.join(both.requests, on="request_id")
    assert len(joined) == 6 + 3
    assert (joined["arrival_s"] >= joined["first_token_s"]).all()


def test_without_a_window_time_begins_with_the_first_due_instant() -> None:
    run = a_run(replace(COUNTED, due_ns=11 * SECOND), NEVER, start_s=None)
    assert zero_ns(run) == 11 * SECOND
    assert list(request_frame(run)["due_s"]) == [0, 1]


def test_a_run_without_requests_has_empty_frames_with_all_their_columns() -> None:
    both, full = frames(a_run()), frames(a_run(COUNTED))
    assert both.requests.empty
    assert both.tokens.empty
    for empty, filled in ((both.requests, full.requests), (both.tokens, full.tokens)):
        assert list(empty.columns) == list(filled.columns)
        assert [str(kind) for kind in empty.dtypes] == [str(kind) for kind in filled.dtypes]


def test_a_journal_gives_the_same_frames_as_the_run_that_wrote_it(tmp_path: Path) -> None:
    run = a_run(COUNTED, UNCOUNTED, NEVER)
    with Journal(tmp_path / "j.jsonl", run.name, run.description, run.anchor) as journal:
        for one in run.records:
            journal.append(one)
        journal.end(run.window, None, None)
    again = frames(load_run(tmp_path / "j.jsonl"))
    pd.testing.assert_frame_equal(again.requests, request_frame(run))
    pd.testing.assert_frame_equal(again.tokens, token_frame(run))


def test_the_journals_page_names_every_field_and_every_column() -> None:
    page = (Path(__file__).parents[2] / "instruments" / "JOURNAL.md").read_text(encoding="utf-8")
    both = frames(a_run(COUNTED))
    journal = [field.name for shape in (RequestRecord, ClientCheck, Window) for field in fields(shape)]
    shown = {name for name in both.requests.columns if not name.endswith("_s")} | set(both.tokens.columns)
    assert [name for name in journal if not re.search(rf"[`.]{name}`", page)] == []
    assert [name for name in sorted(shown) if f"`{name}`" not in page] == []
    assert [outcome for outcome in Outcome if f"`{outcome}`" not in page] == []

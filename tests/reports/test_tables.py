"""A run's frames and its Parquet, against the numbers of runs made by hand."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

import reports
from instruments.errors import ConfigurationError, JournalError
from instruments.frames import request_frame, token_frame
from instruments.journal import load_run as read_journal
from instruments.slo import State
from instruments.telemetry.record import Series
from reports.model import read_report
from reports.tables import CLAIMS, LAWS, LOADS, OBJECTIVES, SERVER, RunTables, load_run, records_parquet
from tests.instruments.test_frames import COUNTED, NEVER, UNCOUNTED, a_run
from tests.reports.runs import (
    BEGAN_UNIX_NS,
    CLAIM,
    SECOND,
    RunBuilder,
    answered,
    even_load,
    failed,
    law,
    objective,
)

README = Path(__file__).parents[2] / "reports" / "README.md"
FRAMES = ("loads", "requests", "objectives", "claims", "laws", "server")


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    """Two loads: 100 answers, and 20 of which one failed; two objectives, two claims, a law, a gauge."""
    builder = RunBuilder(tmp_path / "run-1")
    chat = builder.load("chat-4", even_load(), simulated=False)
    few = [failed(7) if index == 7 else answered(index, 100) for index in range(20)]
    builder.load("few-1", few, workload={"id": "few"})
    builder.judge(chat, objective())
    builder.judge(chat, objective(id="chat.half", statistic="p50", at_most=0.1))
    builder.claim("passed").claim("skipped", "suites/x.py::test_y", reason="no GPU", markers=("gpu", "slow"))
    builder.folder.append_law(law(State.MET))
    samples = Series((BEGAN_UNIX_NS / 1e9 + 1.0, BEGAN_UNIX_NS / 1e9 + 3.5), (2.0, float("nan")))
    builder.server("chat-4", series={"waiting": samples})
    return builder.session()


def of_each(values: pd.Series[str]) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().items()}


@pytest.fixture
def tables(run: RunBuilder) -> RunTables:
    return load_run(run.folder.path)


def test_requests_of_all_loads_are_rows_of_one_frame(tables: RunTables) -> None:
    assert of_each(tables.requests["load"]) == {"chat-4": 100, "few-1": 20}
    of_chat = tables.requests.query("load == 'chat-4'")
    assert of_chat["ttft_s"].sort_values().iloc[94] == 0.95  # the p95 of 100
    assert of_chat["tpot_s"].round(9).eq(0.02).all()
    assert of_chat["due_s"].iloc[:3].round(9).tolist() == [0.0, 0.1, 0.2]  # the window begins at the first
    of_few = tables.requests.query("load == 'few-1'")
    assert of_each(of_few["outcome"]) == {"COMPLETED": 19, "FAILED": 1}
    assert of_few.query("outcome == 'FAILED'")["ttft_s"].isna().all()


def test_requests_are_those_of_the_journals_with_their_dtypes(run: RunBuilder, tables: RunTables) -> None:
    alone = request_frame(read_journal(run.folder.loads / "few-1.jsonl")).reset_index()
    of_few = tables.requests.query("load == 'few-1'").drop(columns="load").reset_index(drop=True)
    pd.testing.assert_frame_equal(of_few, alone)


def test_tokens_are_made_when_they_are_asked_for(run: RunBuilder, tables: RunTables) -> None:
    tokens = tables.tokens()
    assert of_each(tokens["load"]) == {"chat-4": 1100, "few-1": 19 * 11}
    assert tokens["gap_s"].count() == 1000 + 190
    assert tokens["gap_s"].dropna().round(9).eq(0.02).all()
    few = tables.tokens("few-1")
    assert len(few) == 209
    alone = token_frame(read_journal(run.folder.loads / "few-1.jsonl"))
    pd.testing.assert_frame_equal(few.drop(columns="load"), alone, check_categorical=False)
    with pytest.raises(ConfigurationError, match="there is no load many"):
        tables.tokens("many")


def test_tokens_join_their_requests(tables: RunTables) -> None:
    both = tables.tokens().merge(tables.requests, on=["load", "request_id"])
    assert len(both) == 1100 + 209
    assert (both["arrival_s"] >= both["first_token_s"]).all()


def test_objectives_are_judged_again_as_the_page_has_them(tables: RunTables, run: RunBuilder) -> None:
    by_id = tables.objectives.set_index("id")
    assert dict(by_id["state"].items()) == {"chat.ttft": "MET", "chat.half": "VIOLATED"}
    soon = by_id.loc["chat.ttft"]
    assert (soon["value"], soon["low"], soon["high"], soon["at_most"]) == (0.95, 0.9, 0.99, 1.2)
    assert (soon["requests"], soon["bad"], soon["load"], soon["claim"]) == (100, 0, "chat-4", CLAIM)
    assert np.isnan(soon["at_least"])
    report = read_report(run.folder.path)
    assert (tables.run_id, tables.state, tables.problems) == ("run-1", str(report.state), report.problems)


def test_claims_and_laws_are_rows(tables: RunTables) -> None:
    assert tables.claims["outcome"].tolist() == ["passed", "skipped"]
    assert list(tables.claims.loc[1, ["reason", "markers"]]) == ["no GPU", "gpu, slow"]
    assert tables.laws["law"].tolist() == ["generation-tokens"]


def test_loads_are_rows_with_the_figures_of_their_summaries(tables: RunTables) -> None:
    by_name = tables.loads.set_index("load")
    assert dict(by_name["due"].items()) == {"chat-4": 100, "few-1": 20}
    assert dict(by_name["completed"].items()) == {"chat-4": 100, "few-1": 19}
    assert list(by_name.loc["chat-4", ["duration_s", "completed_per_s"]]) == [10.0, 10.0]
    assert dict(by_name["workload"].items()) == {"chat-4": "chat", "few-1": "few"}
    assert by_name["simulated"].tolist() == [False, pd.NA]  # the other's journal does not say


def test_samples_of_the_server_are_on_the_clock_of_the_load(tables: RunTables) -> None:
    # The window begins a second after the anchor: a sample a second after the anchor is at 0.
    assert tables.server["at_s"].round(6).tolist() == [0.0, 2.5]
    assert tables.server["at"].iloc[0] == pd.Timestamp("2026-11-21T06:00:11Z")
    assert tables.server["value"].iloc[0] == 2.0
    assert np.isnan(tables.server["value"].iloc[1])
    assert tables.server["series"].tolist() == ["waiting", "waiting"]


def test_dtypes_are_those_that_are_documented_whatever_the_run(tmp_path: Path, tables: RunTables) -> None:
    empty = load_run(RunBuilder(tmp_path / "empty").session().folder.path)
    for name in FRAMES:
        full, none = getattr(tables, name), getattr(empty, name)
        assert [str(kind) for kind in full.dtypes] == [str(kind) for kind in none.dtypes], name
        assert (len(none), list(none.columns)) == (0, list(full.columns))
    stated = {"loads": LOADS, "objectives": OBJECTIVES, "claims": CLAIMS, "laws": LAWS}
    for name, columns in stated.items():
        assert {key: str(kind) for key, kind in getattr(tables, name).dtypes.items()} == columns
    at = {"at": "datetime64[ns, UTC]"}
    assert {key: str(kind) for key, kind in tables.server.dtypes.items()} == SERVER | at
    assert len(empty.tokens()) == 0
    assert list(empty.tokens().columns) == list(tables.tokens().columns)


def test_one_journal_by_itself_has_loads_requests_and_tokens(run: RunBuilder) -> None:
    one = load_run(str(run.folder.loads / "few-1.jsonl"))
    assert (one.run_id, one.state, len(one.requests), len(one.tokens())) == (None, None, 20, 209)
    assert one.loads["load"].tolist() == ["few-1"]
    assert (len(one.objectives), len(one.claims), len(one.laws), len(one.server)) == (0, 0, 0, 0)


def test_what_cannot_be_read_is_said(run: RunBuilder, tmp_path: Path) -> None:
    (run.folder.loads / "torn.jsonl").write_text("nothing of ours")
    tables = load_run(run.folder.path)
    assert "torn" not in set(tables.loads["load"])
    assert any("torn.jsonl cannot be read" in problem for problem in tables.problems)
    for nothing in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(JournalError):
            load_run(nothing)


def test_parquet_gives_the_frame_back_with_its_dtypes() -> None:
    for made in (a_run(COUNTED, UNCOUNTED, NEVER), a_run(NEVER), a_run()):
        again = pd.read_parquet(io.BytesIO(records_parquet(made)))
        frame = request_frame(made).reset_index()
        pd.testing.assert_frame_equal(again[frame.columns.tolist()], frame)
        assert again.columns.tolist() == [*frame.columns, "chunks_ns", "chunk_tokens"]


def test_parquet_holds_arrivals_from_the_frames_zero_and_null_for_what_is_undefined() -> None:
    table = pq.read_table(io.BytesIO(records_parquet(a_run(COUNTED, UNCOUNTED, NEVER))))
    # Chunks at 13, 14 and 17 s of a window that begins at 10 s; of the second nobody told the tokens.
    arrivals = [3 * SECOND, 4 * SECOND, 7 * SECOND]
    assert table["chunks_ns"].to_pylist() == [arrivals, arrivals, []]
    assert table["chunk_tokens"].to_pylist() == [[1, 3, 2], None, None]
    assert table["ttft_s"].to_pylist() == [2.0, 2.0, None]
    assert table["tpot_s"].null_count == 2
    assert table["finish_reason"].to_pylist() == ["length", "length", None]
    assert str(table.schema.field("due_at").type) == "timestamp[ns, tz=UTC]"


def test_parquet_is_small_without_chunks_and_as_whole() -> None:
    made = a_run(COUNTED, UNCOUNTED, NEVER)
    again = pd.read_parquet(io.BytesIO(records_parquet(made, chunks=False)))
    pd.testing.assert_frame_equal(again, request_frame(made).reset_index())


def test_parquet_says_of_itself_what_was_run() -> None:
    run = replace(a_run(COUNTED), description={"simulated": True, "seed": 3})
    told = json.loads(pq.read_metadata(io.BytesIO(records_parquet(run))).metadata[b"vllm_slo"])
    assert told == {
        "name": "a-run",
        "description": {"simulated": True, "seed": 3},
        "window": {"start_ns": 10 * SECOND, "end_ns": 20 * SECOND},
        "anchor": {"monotonic_ns": 1_000 * SECOND, "unix_ns": 1_767_227_400 * SECOND},
    }


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


def test_the_pages_examples_run_as_they_stand(
    run: RunBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "latest").symlink_to(run.folder.path, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    given: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", section("In pandas"), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(block, given)  # noqa: S102 - it is what readers are told to run
    assert isinstance(given["run"], RunTables)


def test_the_page_names_every_frame_and_every_column_that_is_its_own(tables: RunTables) -> None:
    page = section("In pandas")
    public = [one.name for one in fields(RunTables) if not one.name.startswith("_")]
    assert [name for name in (*public, "tokens") if f"`{name}" not in page] == []
    columns = [*LOADS, *CLAIMS, *LAWS, *OBJECTIVES, *tables.server.columns, *tables.tokens().columns]
    assert [name for name in columns if f"`{name}`" not in page] == []
    assert reports.load_run is load_run

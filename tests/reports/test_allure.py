"""What a claim attaches: its verdict as a table, the load's picture, its records, PromQL and ends of logs."""

from __future__ import annotations

import csv
import io
from html import escape
from pathlib import Path
from typing import Any

import pytest

from instruments.journal import load_run
from instruments.slo import evaluate
from instruments.statistics import summarize
from instruments.telemetry.record import ServerRecord, nothing_known
from instruments.telemetry.snapshot import Snapshot, labels_of
from reports.allure_files.attached import latency_plot_png, records_csv, too_large, verdict_table_html
from reports.allure_files.evidence import (
    ANSWER_CHARACTERS,
    TAIL_BYTES,
    Question,
    grown_csv,
    log_tail,
    questions_html,
    without_secrets,
)
from tests.reports.runs import RunBuilder, answered, even_load, failed, objective

KEY = "vk-3f9a0c77d1"


def test_the_verdict_table_says_what_decided_and_how_often_it_may_be_wrong(run: RunBuilder) -> None:
    summary = summarize(load_run(run.load("chat-10", even_load())))
    table = verdict_table_html(evaluate(summary, objective(), family=20))
    assert "<td>exact binomial test at the planned size</td>" in table
    assert "<td>20 objectives share a 5 % chance of any false alarm</td>" in table


def test_the_verdict_table_shows_the_evidence_and_escapes_it(run: RunBuilder) -> None:
    summary = summarize(load_run(run.load("chat-10", even_load())))
    verdict = evaluate(summary, objective(description="<b>&"))
    table = verdict_table_html(verdict, simulated=True, records="attached to: x <y>")
    assert escape("<b>&") in table
    assert "<b>" not in table
    assert "<td>attached to: x &lt;y&gt;</td>" in table
    for told in ("MET, simulated", "yes", "≤ 1.2 s", "0.95 s [0.9, 0.99]", "0 of 100 bad", "1.26×"):
        assert f"<td>{told}</td>" in table
    assert "<td>no: advisory</td>" in verdict_table_html(evaluate(summary, objective(required=False)))


@pytest.mark.parametrize("records", [even_load(), [failed(0)], []])
def test_the_plot_is_an_image_whatever_completed(run: RunBuilder, records: list[Any]) -> None:
    summary = summarize(load_run(run.load("chat-10", records)))
    assert latency_plot_png(summary, [objective()]).startswith(b"\x89PNG\r\n")


def test_records_become_rows_with_empty_cells_for_what_is_undefined(run: RunBuilder) -> None:
    journal = run.load("chat-10", [answered(0, 30), failed(1, 'no, "never"')])
    rows = list(csv.DictReader(io.StringIO(records_csv(load_run(journal)) or "")))
    assert [row["outcome"] for row in rows] == ["COMPLETED", "FAILED"]
    # First token after 30 ms, then ten gaps of 20 ms.
    assert [float(rows[0][name]) for name in ("ttft_s", "tpot_s", "e2e_s")] == pytest.approx(
        [0.03, 0.02, 0.23]
    )
    assert (rows[0]["chunks"], rows[0]["send_lag_s"]) == ("11", "0.0")
    assert (rows[1]["ttft_s"], rows[1]["e2e_s"], rows[1]["error"]) == ("", "", 'no, "never"')


def test_records_beyond_the_limit_are_not_made_at_all(run: RunBuilder) -> None:
    loaded = load_run(run.load("chat-10", even_load()))
    whole = records_csv(loaded)
    assert whole is not None
    assert records_csv(loaded, len(whole)) == whole
    assert records_csv(loaded, len(whole) - 1) is None
    said = too_large("records: x (CSV)", 20 * 1024 * 1024, "loads/x.jsonl")
    assert (
        said == "records: x (CSV) would be larger than 20 MiB and is not attached; all of it: loads/x.jsonl\n"
    )


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (f"loaded {KEY} from the file", "loaded HIDDEN from the file"),
        ("GET / Authorization: Bearer abc.def-1 200", "GET / Authorization: Bearer HIDDEN 200"),
        ("{'authorization': 'Basic dXNlcg=='}", "{'authorization': 'Basic HIDDEN'}"),
        ("authorization=abcdef, next", "authorization=HIDDEN, next"),
        ("args: {'api_key': ['sk-live'], 'model': 'm'}", "args: {'api_key': ['HIDDEN'], 'model': 'm'}"),
        ("vllm serve m --api-key abcdef --port 1", "vllm serve m --api-key HIDDEN --port 1"),
        ("redis://user:pw@cache:6379/0 answers", "redis://HIDDEN@cache:6379/0 answers"),
        ("the key is sk-0123456789abcdef", "the key is HIDDEN"),
        ("max_num_batched_tokens=2048, keys: 3 prompts", "max_num_batched_tokens=2048, keys: 3 prompts"),
    ],
)  # fmt: skip
def test_a_log_shows_no_key(line: str, left: str) -> None:
    assert without_secrets(line, [KEY]) == left


def test_a_logs_end_is_its_last_lines_whole(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    assert log_tail(log, []) is None
    log.write_text("")
    assert log_tail(log, []) is None
    log.write_text("".join(f"line {number} {KEY}\n" for number in range(1, 301)))
    tail = (log_tail(log, [KEY]) or "").splitlines()
    assert (len(tail), tail[0], tail[-1]) == (200, "line 101 HIDDEN", "line 300 HIDDEN")
    # Lines so long that 200 are too much: the first of what is kept is cut, and left out.
    log.write_text("".join(f"{number} {'x' * 1000}\n" for number in range(1, 301)))
    tail = (log_tail(log, []) or "").splitlines()
    assert len("\n".join(tail)) <= TAIL_BYTES
    assert [line.split()[0] for line in tail] == [str(number) for number in range(301 - len(tail), 301)]


def test_counters_that_moved_are_shown_with_what_they_grew_by() -> None:
    def snapshot(prompt: float, queue: float, other: float) -> Snapshot:
        return Snapshot({
            ("vllm:prompt_tokens_total", labels_of({"engine": "0"})): prompt,
            ("vllm:prompt_tokens_total", labels_of({"engine": "1"})): 10.0,
            ("vllm:queue_seconds_sum", labels_of({})): queue,
            ("vllm:queue_seconds_bucket", labels_of({"le": "1"})): queue,
            ("vllm:num_requests_running", labels_of({})): queue,
            ("other_total", labels_of({})): other,
        })  # fmt: skip

    record = ServerRecord("Prometheus", before=snapshot(5, 0.5, 7), after=snapshot(12288, 0.75, 7))
    assert (grown_csv(record) or "").splitlines() == [
        "counter,before,after,grown",
        "vllm:prompt_tokens_total,15,12298,12283",
        "vllm:queue_seconds_sum,0.5,0.75,0.25",
    ]
    assert grown_csv(nothing_known("no telemetry")) is None


def test_promql_is_shown_with_its_first_and_its_last_answer() -> None:
    asked = Question("/api/v1/query", 'up{job="<x>"} > 0', 3, {"result": []}, {"result": [1]})
    shown = questions_html([asked, Question("/api/v1/query", "1", 1, "one", "one")])
    assert escape('up{job="<x>"} > 0') in shown
    assert "/api/v1/query, 3 times" in shown
    assert shown.count("answer, the first") == shown.count("answer, the last") == 1
    assert shown.count(">answer</th>") == 1
    long = questions_html([Question("p", "q", 1, "x" * 5000, None)])
    assert f"… and {5002 - ANSWER_CHARACTERS} characters more" in long

"""What Allure is told: properties, categories, executor and attachments."""

from __future__ import annotations

import csv
import io
import re
from html import escape
from typing import Any

import pytest

from instruments.journal import load_run
from instruments.results import SessionRecord
from instruments.slo import evaluate
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated
from instruments.statistics import summarize
from reports import allure
from tests.reports.runs import RunBuilder, answered, even_load, failed, objective

SESSION = SessionRecord("run-1", "2026-11-21T06:00:00+00:00", "local", engine="vllm")


def loaded(text: str) -> dict[str, str]:
    """Reads properties as java.util.Properties does, for what can occur on one line."""
    read: dict[str, str] = {}
    for line in text.splitlines():
        key, value = re.fullmatch(r"((?:\\.|[^\\=: ])*)=(.*)", line).groups()  # type: ignore[union-attr]
        read[_unescaped(key)] = _unescaped(value)
    return read


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        escaped = found[1]
        if escaped.startswith("u"):
            return chr(int(escaped[1:], 16))
        return {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(escaped, escaped)

    units = re.sub(r"\\(u[0-9a-f]{4}|.)", one, text)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")


def test_properties_come_back_as_they_were() -> None:
    fingerprint: dict[str, Any] = {
        "vllm flags": ["--a=b", "c:d"],
        "GPU × 2": " H100 \\ 80 GB",
        "odd=key:#!": "line\nline\ttab 🚀",
        "quantization": None,
    }
    text = allure.environment_properties(fingerprint, SESSION)
    assert text.isascii()
    read = loaded(text)
    assert (read["run"], read["engine"], read["simulated"]) == ("run-1", "vllm", "no")
    assert read["vllm flags"] == "--a=b, c:d"
    assert read["GPU × 2"] == " H100 \\ 80 GB"
    assert read["odd=key:#!"] == "line\nline\ttab 🚀"
    assert read["quantization"] == "–"


@pytest.mark.parametrize(
    ("status", "message", "name"),
    [
        ("broken", "instruments.slo.verdict.ObjectiveViolated: VIOLATED: x\n  seen: y", "Objective violated"),
        ("broken", "a.ObjectiveInconclusive: INCONCLUSIVE: x", "Inconclusive: the data cannot tell"),
        ("broken", "environments.provider.StackDied: engine", "The stack died"),
        ("broken", "environments.provider.StackNotReady: engine", "The stack did not start"),
        ("failed", "nothing was measured", "Nothing was measured"),
        ("skipped", "Skipped: the stack lacks the capability gpu", "Skipped: the stack lacks a capability"),
    ],
)
def test_each_end_falls_into_its_category(status: str, message: str, name: str) -> None:
    matching = [
        one["name"]
        for one in allure.categories()
        if status in one["matchedStatuses"] and re.fullmatch(one["messageRegex"], message)
    ]
    assert matching == [name]


def test_the_categories_name_exceptions_that_exist() -> None:
    patterns = " ".join(one["messageRegex"] for one in allure.categories())
    assert ObjectiveViolated.__name__ in patterns
    assert ObjectiveInconclusive.__name__ in patterns


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("broken", "Skipped: no GPU"),
        ("failed", "Failed: a gate cannot pass by skipping; missing capability: x"),
    ],
)
def test_what_a_gate_would_not_skip_has_a_category_of_its_own(status: str, message: str) -> None:
    first = next(
        one["name"]
        for one in allure.categories()
        if status in one["matchedStatuses"] and re.fullmatch(one["messageRegex"], message)
    )
    assert first == "A gate cannot pass by skipping"


def test_the_verdict_table_says_what_decided_and_how_often_it_may_be_wrong(run: RunBuilder) -> None:
    summary = summarize(load_run(run.load("chat-10", even_load())))
    table = allure.verdict_table_html(evaluate(summary, objective(), family=20))
    assert "<td>exact binomial test at the planned size</td>" in table
    assert "<td>20 objectives share a 5 % chance of any false alarm</td>" in table


def test_the_executor_is_read_from_the_ci_services_variables() -> None:
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://forge.example",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_NUMBER": "5",
        "GITHUB_WORKFLOW": "nightly",
        "GITHUB_TOKEN": "hush",
    }
    told = allure.executor(SESSION, environ)
    assert (told["type"], told["buildOrder"]) == ("github", 5)
    assert told["buildUrl"] == "https://forge.example/a/b/actions/runs/77"
    assert "hush" not in str(told)
    assert allure.executor(SESSION, {})["type"] == "local"
    assert allure.executor(SESSION, {"GITLAB_CI": "1", "CI_PIPELINE_IID": "x"})["type"] == "gitlab"
    assert allure.executor(SESSION, {"JENKINS_URL": "u", "BUILD_NUMBER": "9"})["buildOrder"] == 9


def test_the_verdict_table_shows_the_evidence_and_escapes_it(run: RunBuilder) -> None:
    summary = summarize(load_run(run.load("chat-10", even_load())))
    table = allure.verdict_table_html(evaluate(summary, objective(description="<b>&")), simulated=True)
    assert escape("<b>&") in table
    assert "<b>" not in table
    for told in ("MET, simulated", "≤ 1.2 s", "0.95 s [0.9, 0.99]", "0 of 100 bad", "1.26×"):
        assert f"<td>{told}</td>" in table


@pytest.mark.parametrize("records", [even_load(), [failed(0)], []])
def test_the_plot_is_an_image_whatever_completed(run: RunBuilder, records: list[Any]) -> None:
    summary = summarize(load_run(run.load("chat-10", records)))
    assert allure.latency_plot_png(summary, [objective()]).startswith(b"\x89PNG\r\n")


def test_records_become_rows_with_empty_cells_for_what_is_undefined(run: RunBuilder) -> None:
    journal = run.load("chat-10", [answered(0, 30), failed(1, 'no, "never"')])
    rows = list(csv.DictReader(io.StringIO(allure.records_csv(load_run(journal)))))
    assert [row["outcome"] for row in rows] == ["COMPLETED", "FAILED"]
    # First token after 30 ms, then ten gaps of 20 ms.
    assert [float(rows[0][name]) for name in ("ttft_s", "tpot_s", "e2e_s")] == pytest.approx(
        [0.03, 0.02, 0.23]
    )
    assert (rows[0]["chunks"], rows[0]["send_lag_s"]) == ("11", "0.0")
    assert (rows[1]["ttft_s"], rows[1]["e2e_s"], rows[1]["error"]) == ("", "", 'no, "never"')

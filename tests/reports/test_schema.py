"""verdict.json against verdict.schema.json: every kind of run, and what the check itself finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instruments.results import IncidentRecord
from instruments.slo import State
from reports.document import SCHEMA, verdict_document
from reports.model import read_report
from tests.reports.runs import RunBuilder, even_load, failed, law, objective
from tests.reports.schema import faults, verdict_schema

ROOT = Path(__file__).parents[2]
VERDICT_SCHEMA = verdict_schema()


def met(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session()


def all_failed(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [failed(index) for index in range(60)]), objective())
    run.claim("failed").claim("error", "suites/a.py::t").session(exit_code=10)


def cut_off(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load(), end=False), objective())
    run.session(finished_at=None, exit_code=None, engine=None)


def gate(run: RunBuilder) -> None:
    journal = run.load("chat-10", even_load(), sampling={"looks": "open", "requests_most": 2000})
    run.judge(journal, objective(applies={"users": [4]}))
    run.server("chat-10", clock_error_s=0.02)
    run.folder.append_law(law(State.VIOLATED, expected="100", seen="99"))
    run.folder.append_incident(IncidentRecord("now", "gateway", "exit code 137", "log"))
    run.claim("skipped").session(
        gate=True,
        expected=("chat.ttft", "chat.tpot"),
        telemetry="Prometheus",
        left_out=({"id": "chat.itl", "why": "for qwen*, this is llama"},),
        limits_replaced={"chat.ttft": {"catalog": 0.5, "here": 1.2}},
        overhead_budget_s=0.2,
    )


KINDS: list[Callable[[RunBuilder], Any]] = [met, all_failed, cut_off, gate, RunBuilder.session]


@pytest.mark.parametrize("make", KINDS, ids=[make.__name__ for make in KINDS])
def test_every_kind_of_run_keeps_the_schema(run: RunBuilder, make: Callable[[RunBuilder], Any]) -> None:
    make(run)
    document = verdict_document(read_report(run.folder.path))
    assert faults(json.loads(json.dumps(document, allow_nan=False)), VERDICT_SCHEMA) == []
    assert document["schema"] == SCHEMA == VERDICT_SCHEMA["properties"]["schema"]["const"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"exit_code": 3}, "$.exit_code: 3 is none of"),
        ({"state": "PASSED"}, "$.state: 'PASSED' is none of"),
        ({"gate": 1}, "$.gate: 1 is none of ['boolean']"),
        ({"expected": [1]}, "$.expected[0]: 1 is none of ['string']"),
        ({"claims": {"passed": 1}}, "$.claims.total is missing"),
        ({"claims": {"total": -1}}, "$.claims.total: -1 is out of bounds"),
        ({"objectives": [{}]}, "$.objectives[0].applies is missing"),
        ({"hidden": 1}, "$.hidden is unknown"),
        ({"schema": True}, "$.schema: True is none of [2]"),
    ],
)
def test_what_is_not_as_it_must_be_is_found(run: RunBuilder, change: dict[str, Any], fault: str) -> None:
    met(run)
    document = verdict_document(read_report(run.folder.path)) | change
    assert faults(document, VERDICT_SCHEMA)[0].startswith(fault)


def test_the_page_of_the_files_names_every_field() -> None:
    text = (ROOT / "reports" / "README.md").read_text("utf-8")
    named = {*VERDICT_SCHEMA["properties"]}
    named |= {name for one in VERDICT_SCHEMA["$defs"].values() for name in one["properties"]}
    assert {name for name in named if f"`{name}`" not in text} == set()

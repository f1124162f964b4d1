"""A run for each way to come to each overall state, the claims of all but the last two having passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from instruments.results import IncidentRecord
from instruments.slo import State
from reports.overall import Overall
from tests.reports.runs import CLAIM, RunBuilder, answered, even_load, law, objective

Make = Callable[[RunBuilder], Any]


def met(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session()


def violated(run: RunBuilder) -> None:
    """Its p95 is 950 ms."""
    run.judge(run.load("chat-10", even_load()), objective(at_most=0.5))
    run.claim("passed").session(exit_code=10)


def law_violated(run: RunBuilder) -> None:
    run.folder.append_law(law(State.VIOLATED, expected="100", seen="99"))
    run.claim("passed").session(exit_code=10)


def undecided(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [answered(index, 10) for index in range(10)]), objective())
    run.claim("passed").session(exit_code=11)


def judgement_missing(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session(gate=True, expected=("chat.ttft", "chat.tpot"), exit_code=11)


def evidence_lost(run: RunBuilder) -> None:
    met(run)
    with (run.folder.path / "verdicts.jsonl").open("a") as file:
        file.write('{"torn": ')


def simulated_gate(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session(gate=True, expected=("chat.ttft",), simulated=True)


def cut_off(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session(finished_at=None, exit_code=None)


def interrupted(run: RunBuilder) -> None:
    run.claim("passed").session(exit_code=2, exit_reason="Ctrl-C")


def skipped(run: RunBuilder) -> None:
    run.claim("skipped", reason="no GPU").session(exit_code=12)


def ended_otherwise(run: RunBuilder) -> None:
    run.folder.append_incident(IncidentRecord("now", "gateway", "exit code 137", "log"))
    run.claim("passed").session(exit_code=3, exit_reason="internal error")


def failed(run: RunBuilder) -> None:
    run.claim("passed").claim("failed", "suites/a.py::t", reason="assert 1 == 2").session(exit_code=1)


def ended_in_error(run: RunBuilder) -> None:
    run.claim("error", CLAIM, reason="StackDied: gateway").session(exit_code=1)


STATES: list[tuple[Make, Overall]] = [
    (met, Overall.MET),
    (lambda run: run.claim("passed").session(), Overall.CLAIMS_HOLD),
    (violated, Overall.VIOLATED),
    (law_violated, Overall.VIOLATED),
    (undecided, Overall.INCONCLUSIVE),
    (judgement_missing, Overall.INCONCLUSIVE),
    (evidence_lost, Overall.INCONCLUSIVE),
    (simulated_gate, Overall.INCONCLUSIVE),
    (cut_off, Overall.INTERRUPTED),
    (interrupted, Overall.INTERRUPTED),
    (skipped, Overall.NOTHING_MEASURED),
    (lambda run: run.session(), Overall.NOTHING_MEASURED),
    (ended_otherwise, Overall.FAILED),
    (failed, Overall.FAILED),
    (ended_in_error, Overall.FAILED),
]

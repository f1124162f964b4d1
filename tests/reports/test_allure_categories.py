"""Every end of a claim falls into one category: messages of real exceptions, as allure-pytest writes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from environments.holding import AlreadyUp
from environments.provider import (
    MissingBinary,
    PortTaken,
    StackDied,
    StackError,
    StackNotReady,
)
from instruments.errors import ConfigurationError, JournalError, SloError, TelemetryError, WorkerDied
from instruments.journal import load_run
from instruments.slo import evaluate
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated
from instruments.statistics import summarize
from reports.allure_files.categories import categories
from tests.reports.runs import RunBuilder, answered, even_load, objective

VIOLATED, INCONCLUSIVE = "Objective violated", "Inconclusive: the data cannot tell"
GATE, NOTHING = "A gate cannot pass by skipping", "Nothing was measured"
CLIENT, PLACE = "The client disturbed the run", "Infrastructure: a program, a port, the disk or the network"
DIED, NOT_STARTED = "The stack died", "The stack did not start"
UNTOLD, SETTING = "The server's own numbers cannot be had", "A setting or a catalog file is wrong"
CLAIM, ERROR = "A claim does not hold", "An error that no claim expects"
LACKS, NOT_HERE = "Skipped: the stack lacks a capability", "Skipped: it does not apply here"

VOID = "INCONCLUSIVE: x: the run is void, the client disturbed it: the client used 99% of a core"
LATE = "INCONCLUSIVE: x: the client was late by 0.5 s at p99; without that it may not have been MET"
CUT = OSError(28, "No space left on device")
ENDS: list[tuple[str, BaseException, str]] = [
    ("broken", ObjectiveViolated("VIOLATED: x: 9 of 10 bad", seen="StackDied: not at all"), VIOLATED),
    ("broken", ObjectiveInconclusive("INCONCLUSIVE: x: too few requests"), INCONCLUSIVE),
    ("broken", ObjectiveInconclusive("INCONCLUSIVE: x: nothing was measured"), NOTHING),
    ("broken", ObjectiveInconclusive(VOID), CLIENT),
    ("broken", ObjectiveInconclusive(LATE), CLIENT),
    ("broken", ObjectiveInconclusive("INCONCLUSIVE: 4 of 20 pairs are void: it was late"), CLIENT),
    ("broken", WorkerDied("a process that sent load ended"), CLIENT),
    ("broken", SloError("the client could not be calibrated at 16 streams (even)"), CLIENT),
    ("broken", StackDied("engine", "exit code 1", "the last line"), DIED),
    (
        "broken",
        StackNotReady("the gateway answers: not within 30 s", seen="nothing was measured"),
        NOT_STARTED,
    ),
    ("broken", StackError("a simulated engine never passes a gate"), NOT_STARTED),
    ("broken", AlreadyUp("a stack is up already"), NOT_STARTED),
    ("broken", StackError("the stack cannot be stood up in /tmp/x", seen=str(CUT)), PLACE),
    ("broken", MissingBinary("vLLM is not installed for this suite", hint="make setup"), PLACE),
    ("broken", PortTaken("port 8000 for the gateway is taken"), PLACE),
    ("broken", JournalError("cannot write loads/x.jsonl", seen="No space left on device"), PLACE),
    ("broken", CUT, PLACE),
    ("broken", ConnectionRefusedError(111, "Connection refused"), PLACE),
    ("broken", httpx.ConnectError("[Errno 111] Connection refused"), PLACE),
    ("broken", httpx.ReadTimeout("The read operation timed out"), ERROR),  # the stack's silence
    ("broken", TelemetryError("Prometheus does not answer"), UNTOLD),
    ("broken", ConfigurationError("profile x: limits.y: no such objective"), SETTING),
    ("broken", KeyError("choices"), ERROR),
    ("failed", AssertionError("assert 401 == 200"), CLAIM),
    ("failed", pytest.fail.Exception("DID NOT RAISE"), CLAIM),
    ("failed", pytest.fail.Exception("a gate cannot pass by skipping; missing capability: gpu: none"), GATE),
    ("broken", pytest.skip.Exception("missing capability: gpu: none"), GATE),  # what a gate makes of a skip
    ("broken", pytest.skip.Exception("x does not apply: 64 users"), GATE),
    ("skipped", pytest.skip.Exception("missing capability: gpu: no GPU"), LACKS),
    ("skipped", pytest.skip.Exception("x does not apply: another model"), NOT_HERE),
    ("skipped", pytest.skip.Exception("the simulator reads no prompts"), NOT_HERE),
]


def message_of(error: BaseException) -> str:
    """The message that allure-pytest takes: pytest's own `exconly`."""
    try:
        raise error  # noqa: TRY301 - a traceback is what pytest wants
    except BaseException:
        return pytest.ExceptionInfo.from_current().exconly()


def fitting(status: str, message: str) -> list[str]:
    """All categories that fit, as Allure 2 takes them: the whole message has to."""
    return [
        one["name"]
        for one in categories()
        if status in one["matchedStatuses"] and re.fullmatch(one["messageRegex"], message)
    ]


@pytest.mark.parametrize(("status", "error", "name"), ENDS, ids=lambda one: getattr(one, "name", None))
def test_each_end_falls_into_one_category(status: str, error: BaseException, name: str) -> None:
    assert fitting(status, message_of(error)) == [name]


def test_the_judge_itself_says_what_the_categories_look_for(run: RunBuilder) -> None:
    def raised(records: list[Any], **changes: Any) -> tuple[str, ...]:
        summary = summarize(load_run(run.load("chat-10", records)))
        with pytest.raises(SloError) as caught:
            evaluate(summary, objective(**changes)).require_met()
        return tuple(fitting("broken", caught.exconly()))

    assert raised(even_load(), at_most=0.001) == (VIOLATED,)
    assert raised([]) == (NOTHING,)
    assert raised([answered(0, 30)]) == (INCONCLUSIVE,)


@cache
def _in_node() -> list[list[str]] | None:
    """The same by JavaScript: for each end all categories that fit, as Allure 3 tests them."""
    if (node := shutil.which("node")) is None:
        return None
    given = [[status, message_of(error)] for status, error, _ in ENDS]
    script = (
        "const [rules, ends] = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "const fits = (r, [s, m]) => r.matchedStatuses.includes(s) && new RegExp(r.messageRegex).test(m);"
        "console.log(JSON.stringify(ends.map((e) => rules.filter((r) => fits(r, e)).map((r) => r.name))))"
    )
    told = json.dumps([categories(), given])
    done = subprocess.run(
        [node, "-e", script], input=told, capture_output=True, text=True, check=True, timeout=60
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_javascript_reads_the_expressions_alike() -> None:
    if (found := _in_node()) is None:
        pytest.skip("no node on this machine")
    assert found == [[name] for _, _, name in ENDS]


JAVA = """
import java.nio.file.*; import java.util.regex.*;
class Fits { public static void main(String[] given) throws Exception {
  String[] rules = Files.readString(Path.of(given[0])).split("\\u0000"), ends = Files.readString(Path.of(given[1])).split("\\u0000");
  for (String end : ends) { StringBuilder found = new StringBuilder();
    for (String rule : rules) found.append(Pattern.compile(rule).matcher(end).matches() ? "1" : "0");
    System.out.println(found); } } }
"""  # noqa: E501


def test_java_reads_the_expressions_alike(tmp_path: Path) -> None:
    """Against Python's answers, status aside: each rule on each message."""
    if (java := shutil.which("java")) is None:
        pytest.skip("no Java on this machine")
    rules, ends = [one["messageRegex"] for one in categories()], [message_of(error) for _, error, _ in ENDS]
    (tmp_path / "rules").write_text("\0".join(rules))
    (tmp_path / "ends").write_text("\0".join(ends))
    (tmp_path / "Fits.java").write_text(JAVA)
    argv = [java, str(tmp_path / "Fits.java"), str(tmp_path / "rules"), str(tmp_path / "ends")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode and "compiler" in done.stderr:
        pytest.skip("this Java has no compiler")
    assert done.returncode == 0, done.stderr
    expected = ["".join("1" if re.fullmatch(rule, end) else "0" for rule in rules) for end in ends]
    assert done.stdout.split() == expected


def test_the_more_particular_category_stands_first() -> None:
    names = [one["name"] for one in categories()]
    before: Callable[[str, str], bool] = lambda one, other: names.index(one) < names.index(other)  # noqa: E731
    assert before(NOTHING, INCONCLUSIVE)
    assert before(CLIENT, INCONCLUSIVE)
    assert before(PLACE, NOT_STARTED)
    assert before(GATE, CLAIM)
    assert names[-1] == NOT_HERE

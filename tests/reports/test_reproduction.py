"""Commands to come to the same numbers again."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruments.results import SessionRecord
from reports.reproduction import judge_again


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("pytest", "-m", "smoke"), "results/run-1"),
        (("pytest", "--results=else where/"), "'else where/run-1'"),
        (("pytest", "--results", "elsewhere", "-q"), "elsewhere/run-1"),
        (("pytest", "--results"), "results/run-1"),
    ],
)
def test_a_run_is_judged_again_where_its_records_lie(
    tmp_path: Path, command: tuple[str, ...], expected: str
) -> None:
    session = SessionRecord("run-1", "2026-11-21T06:00:00+00:00", "local", command=command)
    assert judge_again(tmp_path / "run-1", session) == f"python -m reports {expected}"

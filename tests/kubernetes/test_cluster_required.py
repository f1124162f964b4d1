"""`make test-cluster` is never green by skipping: what its plugin makes of a session without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kubernetes.cluster import CONTEXT_VARIABLE, FOLDER_VARIABLE, REQUIRED_VARIABLE, ROOT
from tests.kubernetes.cluster_fixture import DOES_NOT_FIT, NO_CLUSTER

NEEDS = "@pytest.mark.kubernetes\ndef test_it(kubectl): pass\n"
SKIPS = "@pytest.mark.kubernetes\ndef test_it(): pytest.skip({reason!r})\n"
PASSES = "@pytest.mark.kubernetes\ndef test_other(): pass\n"
ELSEWHERE = "def test_of_no_cluster(): pytest.skip('for a reason')\n"


def ran(folder: Path, text: str, *words: str, required: str | None = "1") -> tuple[int, str]:
    """(exit status, terminal) of a session with these tests, on a machine without a cluster's scripts."""
    (folder / "test_it.py").write_text(f"import pytest\n{text}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "KUBE"))}
    kept.pop(REQUIRED_VARIABLE, None)
    kept |= {"PYTHONPATH": str(ROOT), FOLDER_VARIABLE: str(folder / "none")}
    kept |= {REQUIRED_VARIABLE: required} if required is not None else {}
    assert CONTEXT_VARIABLE not in kept
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.kubernetes.cluster_fixture",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*argv, "-c", os.devnull, "--rootdir", str(folder), "-rs", str(folder / "test_it.py"), *words],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("required", [None, "0", ""])
def test_elsewhere_it_is_a_skip_with_its_reason(tmp_path: Path, required: str | None) -> None:
    code, said = ran(tmp_path, NEEDS, required=required)
    assert (code, "1 skipped" in said) == (0, True), said
    assert "no cluster: no scripts" in said or "no kubectl" in said


def test_where_it_is_required_no_cluster_is_a_status_of_its_own_with_the_reason(tmp_path: Path) -> None:
    code, said = ran(tmp_path, NEEDS)
    assert code == NO_CLUSTER, said
    assert "no cluster: no scripts" in said or "no kubectl" in said
    assert REQUIRED_VARIABLE in said


def test_a_proof_that_is_skipped_fails(tmp_path: Path) -> None:
    code, said = ran(tmp_path, PASSES + SKIPS.format(reason="not today"))
    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "1 failed, 1 passed" in said
    assert "not today" in said


def test_a_proof_that_does_not_fit_here_may_be_skipped_and_says_why(tmp_path: Path) -> None:
    code, said = ran(tmp_path, PASSES + SKIPS.format(reason=f"{DOES_NOT_FIT}no engine"))
    assert (code, "1 passed, 1 skipped" in said) == (0, True), said
    assert "no engine" in said


def test_a_session_in_which_nothing_fits_is_no_success(tmp_path: Path) -> None:
    assert ran(tmp_path, SKIPS.format(reason=f"{DOES_NOT_FIT}no engine"))[0] == NO_CLUSTER


def test_what_needs_no_cluster_is_skipped_as_ever(tmp_path: Path) -> None:
    code, said = ran(tmp_path, PASSES + ELSEWHERE)
    assert (code, "1 passed, 1 skipped" in said) == (0, True), said


def test_to_list_the_proofs_is_no_failure(tmp_path: Path) -> None:
    assert ran(tmp_path, PASSES, "--collect-only")[0] == 0

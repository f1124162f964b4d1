"""`kill -9` of pytest at a random moment: no process of ours survives it, and what was measured can be read.

`VLLM_SLO_KILLS=20 VLLM_SLO_FAULT_ENGINE=vllm` makes it twenty moments against real vLLM.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from instruments.errors import JournalError
from instruments.journal import load_run

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("VLLM_SLO_KILLS", "5"))
ENGINE = os.environ.get("VLLM_SLO_FAULT_ENGINE", "simulator")
LONGEST_S = 40.0 if ENGINE == "vllm" else 20.0
GONE_WITHIN_S = 10.0


@pytest.mark.parametrize("seed", range(KILLS))
def test_nothing_survives_a_killed_session(seed: int, tmp_path: Path) -> None:
    """Ten seconds after the kill no process is left, and the run's page can be made from what it left."""
    moment_s = random.Random(seed).uniform(0.5, LONGEST_S)
    results = tmp_path / "results"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "smoke",
        "-q",
        f"--results={results}",
        "--engine",
        ENGINE,
    ]
    with (tmp_path / "output").open("wb") as output:
        session = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        session.wait(moment_s)
    except subprocess.TimeoutExpired:
        session.kill()
        session.wait(5)
    killed = time.monotonic()
    while (left := processes_of(results)) and time.monotonic() - killed < GONE_WITHIN_S:
        time.sleep(0.1)
    assert not left, f"killed after {moment_s:.1f} s"
    runs = [path for path in results.glob("*") if path.is_dir() and not path.is_symlink()]
    if not runs:
        return  # killed before there was anything to run
    made = subprocess.run(
        [sys.executable, "-m", "reports", str(runs[0])], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, f"killed after {moment_s:.1f} s: {made.stderr}"
    assert (runs[0] / "report.html").stat().st_size > 1000
    for journal in (runs[0] / "loads").glob("*.jsonl"):
        try:
            run = load_run(journal)
        except JournalError:
            # Killed between opening the file and writing its first line: there is nothing in it to lose.
            assert journal.stat().st_size == 0
            continue
        torn = [problem for problem in run.problems if "torn" in problem]
        assert len(torn) <= 1, f"more than the last line is torn: {run.problems}"


def processes_of(results: Path) -> dict[int, str]:
    """Every living process that was started for a run in this folder, however distant a descendant."""
    mark = str(results).encode()
    named = {
        int(path.read_text()) for path in results.glob("*/logs/*.pid") if path.read_text().strip().isdigit()
    }
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            command, variables = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if pid != os.getpid() and state != "Z" and (pid in named or mark in command or mark in variables):
            found[pid] = command.replace(b"\0", b" ").decode("utf-8", "replace")
    return found

"""A client's run: starts the meter for one command, in a folder of its own, and waits for its report."""

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from benchmarks import place
from benchmarks.meter import GRACE_S, Usage

OUTPUT = "output.txt"


def run_metered(
    argv: list[str], env: Mapping[str, str], folder: Path, *, cores: list[int], limit_s: float
) -> Usage:
    """Run `argv` on `cores` in `folder`, its output into output.txt there.

    What it started is gone when this returns or raises. RuntimeError when the meter itself gives no report.
    """
    report = folder / "usage.json"
    meter = [place.PYTHON, "-m", "benchmarks.meter", str(report), str(limit_s), "--"]
    # The meter is found through PYTHONPATH, the command gets its own environment by `env`.
    wrapped = ["env", "-u", "PYTHONPATH", *(f"{name}={value}" for name, value in env.items()), *argv]
    with (folder / OUTPUT).open("wb") as output:
        child = subprocess.Popen(
            place.pinned(place.server_cores(), [*meter, *place.pinned(cores, wrapped)]),
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(place.ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            child.wait(timeout=limit_s + 4 * GRACE_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the meter did not end within {limit_s + 4 * GRACE_S:.0f} s") from None
        finally:
            _end(child)
    if not report.exists():
        raise RuntimeError(f"the meter gave no report, exit status {child.returncode}: {tail(folder)}")
    return Usage(**json.loads(report.read_text()))


def tail(folder: Path, word: str = "", lines: int = 3) -> str:
    """The end of what a client printed, on one line; with `word`, of the lines that hold it."""
    with suppress(OSError):
        printed = (folder / OUTPUT).read_text(errors="replace").split("\n")
        return " / ".join([line.strip() for line in printed if line.strip() and word in line][-lines:])[-300:]
    return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """The meter clears up behind itself when told to end; it is killed only if it does not."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=4 * GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()

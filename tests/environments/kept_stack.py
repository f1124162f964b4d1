"""The stage of the kept stack's tests: `python -m environments` as people run it, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from environments.binaries import ROOT, find_nginx
from environments.exporter import STUB
from tests.environments.census import all_gone, eventually, parent_of

BOUND_S = 60.0
# The host stack on the simulator and without Prometheus, whose first look takes five seconds.
QUICK = """\
name: quick
description: the host stack, quickly
provider: local
engine: {kind: simulator, ready_timeout_s: 30}
ingress: {kind: nginx}
exporter: {kind: stub, readings: {utilization.0: 42}}
monitoring: none
"""
# Waits for an engine that is not there, so that there is time to do something to those who wait.
NEVER = """\
name: never
description: an engine that never answers
provider: local
engine: {kind: external, url: "http://127.0.0.1:9", ready_timeout_s: 60}
monitoring: none
"""


def require_parts() -> None:
    """Skip where set-up could not make what the host stack needs."""
    if find_nginx() is None:
        pytest.skip("no nginx on this machine: `make setup PARTS=nginx` unpacks one where there is apt")
    if not STUB.is_file():
        pytest.skip("no stub of NVML: `make setup PARTS=stub` compiles it where there is a C compiler")


@dataclass(frozen=True)
class Kept:
    """A folder in which a stack is kept, and the program that keeps it."""

    folder: Path

    @property
    def place(self) -> Path:
        return self.folder / "place"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "VLLM_SLO_STACK": str(self.place), "ENGINE_API_KEY": "sk-external"}

    def profile(self, text: str) -> str:
        path = self.folder / "profile.yaml"
        path.write_text(text)
        return str(path)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "environments", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip

    def pytest(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A session of suites."""
        results = f"--results={self.folder / 'results'}"
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "smoke", "-p", "no:cacheprovider", results, *words],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    @contextmanager
    def coming_up(self, profile: str) -> Iterator[subprocess.Popen[str]]:
        """`up`, while it waits; in a process group of its own, as in a shell."""
        with subprocess.Popen(
            self.command("up", "--env", self.profile(profile)),
            cwd=ROOT, env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def document(self) -> dict[str, Any]:
        return dict(json.loads((self.place / "stack.json").read_text()))

    def pids(self) -> dict[str, int]:
        """Every part that was started, each with its warden, and the holder."""
        parts = {path.stem: int(path.read_text()) for path in (self.place / "logs").glob("*.pid")}
        wardens = {f"warden of {name}": parent_of(pid) for name, pid in parts.items()}
        return {**parts, **wardens, "holder": int((self.place / "holder").read_text().split()[0])}

    def started(self, *names: str) -> dict[str, int]:
        """Process ids once these parts have been started."""
        files = [self.place / "logs" / f"{name}.pid" for name in names]
        eventually(lambda: all(path.exists() and path.read_text() for path in files), f"{names} are started")
        return self.pids()

    def end(self) -> None:
        """Whatever a test left: ended, and seen to be gone."""
        with contextlib.suppress(FileNotFoundError, LookupError, ValueError):
            pids = self.pids()
            self.run("down")
            all_gone(pids)

    def kill_holder(self) -> None:
        os.kill(int((self.place / "holder").read_text().split()[0]), signal.SIGKILL)

"""A watchdog as a process over children that the tests dictate, its log read as it comes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.asking_plain import get
from tests.environments.census import alive, eventually

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("watchdog_child.py")
BOUND_S = 15.0
KEY = "sk-watchdog-secret"
QUICK: dict[str, Any] = {"first_delay_s": 0.05, "longest_delay_s": 0.2, "jitter_share": 0, "seed": 1}


def child(name: str, port: int, folder: Path, *flags: str, **other: object) -> dict[str, Any]:
    """A child's entry in the settings, with checks that find a hang in about two seconds."""
    health = {"url": f"http://127.0.0.1:{port}/health", "every_s": 0.1, "timeout_s": 0.8, "failures": 2}
    command = [sys.executable, "-I", "-S", str(CHILD), name, str(port), str(folder), *flags]
    bounds = {"start_timeout_s": 20, "stop_timeout_s": 5, "hung_stop_timeout_s": 0.3}
    return {"command": command, "health": health, "environment_from": ["TEST_KEY"], **bounds, **other}


def probe(port: int, **other: object) -> dict[str, Any]:
    """A probe of one token that finds a hang in about a second."""
    url = f"http://127.0.0.1:{port}"
    bounds = {"every_s": 0.1, "timeout_s": 0.4, "failures": 2}
    return {"url": f"{url}/v1/completions", "model": "tiny", "key_env": "TEST_KEY", **bounds, **other}


class Watchdog:
    """A running one."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = folder

    def log(self) -> list[dict[str, Any]]:
        """Its lines so far; what children write stands there too and is left out."""
        lines = (self.folder / "watchdog.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def events(self, event: str, **facts: object) -> list[dict[str, Any]]:
        """The lines of one event with these facts."""
        return [one for one in self.log() if one["event"] == event and facts.items() <= one.items()]

    def until(self, event: str, count: int = 1, **facts: object) -> dict[str, Any]:
        """Wait for the `count`th line of an event."""
        what = f"{count} x {event} {facts}"
        eventually(lambda: len(self.events(event, **facts)) >= count, what, BOUND_S)
        return self.events(event, **facts)[count - 1]

    def pids(self, name: str) -> list[list[int]]:
        """Process ids of a child and its grandchild, an entry a start."""
        path = self.folder / f"{name}.pids"
        lines = path.read_text().splitlines() if path.exists() else []
        return [[int(word) for word in line.split()] for line in lines]

    def metric(self, series: str) -> float | None:
        """One series of its page of metrics."""
        port = self.until("metrics")["port"]
        for line in get(f"http://127.0.0.1:{port}/metrics")[1].splitlines():
            if line.rpartition(" ")[0] == series:
                return float(line.rpartition(" ")[2])
        return None

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(BOUND_S)

    def none_is_left(self) -> None:
        """Wait until no child and no grandchild lives."""
        names = [path.stem for path in self.folder.glob("*.pids")]
        everyone = [pid for name in names for start in self.pids(name) for pid in start]
        eventually(lambda: not any(map(alive, everyone)), "all children and grandchildren are gone", BOUND_S)


@contextmanager
def watchdog(folder: Path, children: dict[str, Any], **restarts: object) -> Iterator[Watchdog]:
    """Start one; killed with all its children if the test leaves it running."""
    config = folder / "watchdog.yaml"
    document = {"children": children, "restarts": {**QUICK, **restarts}, "metrics": {"port": 0}}
    config.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "deploy.watchdog", "--config", str(config)]
    with (
        (folder / "watchdog.log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TEST_KEY": KEY}, stderr=log) as process,
    ):
        running = Watchdog(process, folder)
        try:
            yield running
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                process.wait(BOUND_S)
            running.none_is_left()

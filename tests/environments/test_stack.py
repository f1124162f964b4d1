"""A stack's parts: the death of what serves is raised; the death of what watches is told, and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from environments.monitoring import Monitoring, wait_for_monitoring
from environments.process import Process
from environments.provider import Stack, StackDied
from tests.environments.census import eventually

LIVING = "import time; time.sleep(600)"
DYING = "print('no space for samples', flush=True); raise SystemExit(3)"


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Callable[[str, str], Process]]:
    """Starts a named part that runs some Python; all are stopped afterwards."""
    with ExitStack() as cleanup:

        def started(name: str, program: str) -> Process:
            command = [sys.executable, "-c", program]
            process = Process.start(name, command, log=tmp_path / f"{name}.log", cwd=tmp_path)
            cleanup.callback(process.stop)
            if program == DYING:
                eventually(lambda: process.ended is not None, f"{name} has ended")
            return process

        yield started


def test_a_watcher_that_died_is_told_by_name_and_ends_nothing(part: Callable[[str, str], Process]) -> None:
    engine, alive = part("engine", LIVING), part("alertmanager", LIVING)
    dead = part("prometheus", DYING)
    stack = Stack("local", "http://127.0.0.1", "m", components=(engine,), watchers=(alive, dead))
    stack.check()
    found = stack.dead_watchers()
    assert {name: death.message for name, death in found.items()} == {
        "prometheus": "prometheus died: exit code 3"
    }
    assert found["prometheus"].log_tail == "no space for samples"


def test_a_part_that_serves_and_died_is_raised(part: Callable[[str, str], Process]) -> None:
    gateway, watcher = part("gateway", DYING), part("prometheus", LIVING)
    stack = Stack("local", "http://127.0.0.1", "m", components=(gateway,), watchers=(watcher,))
    with pytest.raises(StackDied, match="gateway died: exit code 3"):
        stack.check()
    assert stack.dead_watchers() == {}


def test_a_prometheus_that_dies_at_start_ends_the_wait_for_it(part: Callable[[str, str], Process]) -> None:
    dead = part("prometheus", DYING)
    monitoring = Monitoring(prometheus_url="http://127.0.0.1:9", components=(dead,))
    with httpx.Client(trust_env=False) as client, pytest.raises(StackDied, match="prometheus died"):
        wait_for_monitoring(monitoring, {"engine"}, client)

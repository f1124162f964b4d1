"""The watchdog's checks done once, as the units of systemd have them: well, hung, not there, not settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from environments.ports import take_port
from tests.deploy.watchdog_stage import CHILD, KEY, ROOT, child, probe
from tests.environments.census import eventually


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Path]:
    """Settings for one child, which runs already."""
    port = take_port(0, "test")
    path = tmp_path / "checks.yaml"
    entry = child("engine", port, tmp_path, probe=probe(port))
    path.write_text(yaml.safe_dump({"children": {"engine": entry}}))
    command = [sys.executable, "-I", "-S", str(CHILD), "engine", str(port), str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, "TEST_KEY": KEY}) as process:
        try:
            pids = tmp_path / "engine.pids"
            eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, "the child runs", 10.0)
            yield path
        finally:
            os.kill(int((tmp_path / "engine.pids").read_text().split()[1]), 9)
            process.kill()


def once(path: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "deploy.watchdog.once", "--config", str(path), *words]
    environment = {**os.environ, "TEST_KEY": KEY}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert KEY not in done.stderr
    return done.returncode, done.stderr


def test_a_child_that_generates_is_well_and_one_that_hangs_is_not(engine: Path) -> None:
    assert once(engine, "engine", "--wait", "20") == (0, "")
    assert once(engine, "engine") == (0, "")
    (engine.parent / "engine.hang").touch()  # /health says 200 all the same
    assert once(engine, "engine") == (1, "once: engine: 2 in a row: no token in 0.4 s\n")


def test_a_child_that_is_not_there_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    port = take_port(0, "test")
    path = tmp_path / "checks.yaml"
    path.write_text(yaml.safe_dump({"children": {"engine": child("engine", port, tmp_path)}}))
    code, said = once(path, "engine", "--wait", "0.2")
    assert (code, said) == (1, "once: engine: not healthy in 0.2 s: ConnectError\n")
    assert once(path, "gateway")[0] == 2


@pytest.mark.parametrize("known", [True, False], ids=["number", "none"])
def test_a_child_that_crashed_at_its_start_is_waited_for_no_longer(tmp_path: Path, known: bool) -> None:
    """A unit whose start fails after fifteen minutes would never reach its limit of starts."""
    crashed = subprocess.Popen([sys.executable, "-c", ""])
    crashed.wait()
    path = tmp_path / "checks.yaml"
    entry = child("engine", take_port(0, "test"), tmp_path)
    path.write_text(yaml.safe_dump({"children": {"engine": entry}}))
    said = once(path, "engine", "--wait", "600", f"--pid={crashed.pid if known else ''}")
    assert said == (1, "once: engine: its process has ended\n")
    living = once(path, "engine", "--wait", "0.2", f"--pid={os.getpid()}")
    assert living == (1, "once: engine: not healthy in 0.2 s: ConnectError\n")

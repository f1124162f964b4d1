"""The NVML stub for tests: the library, a file of readings that changes live, and an exporter on it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.asking_plain import get
from tests.environments.census import eventually

ROOT = Path(__file__).parents[2]
START_S = 20.0
STOP_S = 10.0
NO_COMPILER = 2
# Not by the client's own parser, which gives counters the ending that DCGM's names lack.
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


@functools.cache
def stub_library() -> Path:
    """The folder that holds libnvidia-ml.so.1, for LD_LIBRARY_PATH. Skips where there is no C compiler."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.exporter.stub"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    if done.returncode == NO_COMPILER:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return (ROOT / done.stdout.strip()).parent


class Readings:
    """The file that dictates: `key` and `key.device` to what NVML shall say. Each change is whole."""

    def __init__(self, path: Path, **said: object) -> None:
        self.path = path
        self.said: dict[str, object] = {}
        self.say(said)

    def say(self, said: Mapping[str, object], *, without: tuple[str, ...] = ()) -> None:
        """Change some; `without` are no longer supported."""
        self.said |= said
        for key in without:
            del self.said[key]
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(f"{key} {value}\n" for key, value in self.said.items()))
        fresh.replace(self.path)


@dataclass(frozen=True)
class Exporter:
    """A running one."""

    process: subprocess.Popen[str]
    url: str

    def page(self) -> str:
        """/metrics as text."""
        status, body = get(f"{self.url}/metrics")
        assert status == 200
        return body

    def samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """All series of one name: labels, sorted, to value."""
        return {
            tuple(sorted(LABEL.findall(labels or ""))): float(value)
            for found, labels, value in SAMPLE.findall(self.page())
            if found == name
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The one series of a name that has these labels; None when it is absent."""
        wanted = labels.items()
        found = [value for has, value in self.samples(name).items() if wanted <= dict(has).items()]
        assert len(found) < 2, f"several series {name} {labels}"
        return found[0] if found else None

    def becomes(self, expected: float | None, name: str, **labels: str) -> None:
        """Wait until a series has this value, or is absent."""
        eventually(lambda: self.value(name, **labels) == expected, f"{name} {labels} is {expected}", 10.0)


@contextmanager
def exporter(folder: Path, *flags: str, library: Path | None, state: Path | None) -> Iterator[Exporter]:
    """Start one, wait until it listens, stop it at the end. Its stderr goes to `folder`/exporter.log."""
    command = [sys.executable, "-m", "deploy.exporter", "--port", "0", *flags]
    plain = {key: value for key, value in os.environ.items() if key not in ("LD_LIBRARY_PATH", "NODE_NAME")}
    given = {"LD_LIBRARY_PATH": str(library)} if library else {}
    given |= {"NVML_STUB_STATE": str(state)} if state else {}
    with (
        (folder / "exporter.log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=plain | given, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], START_S)
            line = process.stdout.readline() if ready else ""
            assert line.startswith("vllm-slo-exporter: http://"), f"it listens in {START_S} s; seen {line!r}"
            yield Exporter(process, line.split()[1])
        finally:
            if process.poll() is None:
                process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()

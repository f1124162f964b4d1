"""A simulator as a process of its own, on a free port, and the few ways in which the tests talk to it."""

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START_S = 20.0
STOP_S = 20.0
KEY = "sk-test"
AUTH = {"Authorization": f"Bearer {KEY}"}


@dataclass(frozen=True)
class Simulator:
    """A running one; `trace` is its trace file."""

    process: subprocess.Popen[str]
    port: int
    trace: Path

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def metrics(self) -> str:
        """The text of /metrics; not by httpx, whose client takes long to make."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STOP_S)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The value of one series now; labels not given are not looked at."""
        for line in self.metrics().splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                return float(value)
        raise LookupError(f"no series {name} {labels}")

    def traced(self) -> list[dict[str, Any]]:
        """The trace's lines, in the order in which the requests ended."""
        if self.process.poll() is None:
            self.metrics()  # answered after the line of whatever has ended: a client may see its end before
        return [json.loads(line) for line in self.trace.read_text().splitlines()]

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextmanager
def simulator(folder: Path, *flags: str, key: str = KEY) -> Iterator[Simulator]:
    """Start one with `flags`, wait until it listens, stop it at the end."""
    trace = folder / "trace.jsonl"
    command = [sys.executable, "-m", "deploy.simulator", "--port", "0", "--trace", str(trace), *flags]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "VLLM_API_KEY": key}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Simulator(process, _port(process), trace)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(STOP_S)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else ""
    assert line.startswith("vllm-slo-simulator: "), (
        f"expected the line that it listens in {START_S} s; seen: {line!r}"
    )
    return int(line.rpartition(":")[2])


def events(text: str) -> list[Any]:
    """The payloads of a server-sent event stream, JSON read, [DONE] as a string."""
    payloads = [part.removeprefix("data: ") for part in text.split("\n\n") if part]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]

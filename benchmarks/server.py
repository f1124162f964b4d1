"""The server of known timing as a process of its own, and the truth that it writes down."""

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import place
from benchmarks.meter import die_with_parent
from benchmarks.scenarios import Scenario

START_BOUND_S = 20.0
STOP_BOUND_S = 20.0
TRACE = "server.jsonl"


@dataclass(frozen=True, slots=True)
class Truth:
    """The server's own instants, in ms: TTFT (first send − arrival) a request, pooled gaps between sends."""

    ttft_ms: tuple[float, ...]
    itl_ms: tuple[float, ...]
    tokens: int
    requests: int
    probes: int  # requests beyond those of the scenario, the peer's own, sent before: left out


@contextmanager
def serving(scenario: Scenario, folder: Path, certificate: Path | None = None) -> Iterator[str]:
    """A fresh server for one run; its base URL. RuntimeError when it does not start or stop in bounds."""
    with (folder / "server.txt").open("wb") as errors:
        child = subprocess.Popen(
            place.pinned(place.server_cores(), command(scenario, folder / TRACE, certificate)),
            cwd=place.ROOT,
            env=os.environ | {"PYTHONPATH": str(place.ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # a Ctrl-C is for us: we end it, in order
            preexec_fn=die_with_parent,
        )
        try:
            yield _address(child, folder)
        finally:
            _stop(child)


def command(scenario: Scenario, trace: Path, certificate: Path | None) -> list[str]:
    """The simulator's command line; slots for every stream, so that nothing waits for one."""
    timing = {"--ttft-ms": scenario.ttft_ms, "--itl-ms": scenario.itl_ms}
    if scenario.step_ms is not None:
        timing["--step-ms"] = scenario.step_ms
    argv = [place.PYTHON, "-m", "deploy.simulator", "--port", "0", "--model", place.MODEL_NAME]
    argv += ["--slots", str(scenario.streams + 64), "--trace", str(trace)]
    argv += [word for flag, value in timing.items() for word in (flag, f"{value:g}")]
    if certificate is not None:
        argv += ["--certfile", str(certificate), "--keyfile", str(certificate)]
    return argv


def truth_of(trace: str, scenario: Scenario) -> Truth:
    """The truth about a scenario's requests from the lines of a trace: those that arrived last."""
    lines = sorted((json.loads(line) for line in trace.splitlines()), key=lambda line: line["arrival_ns"])
    ended = [line for line in lines if line["finish"] == "length" and line["sends"]]
    kept = ended[-scenario.requests :]
    gaps = (b - a for line in kept for a, b in pairwise(line["sends"]))
    return Truth(
        ttft_ms=tuple((line["sends"][0] - line["arrival_ns"]) / 1e6 for line in kept),
        itl_ms=tuple(gap / 1e6 for gap in gaps),
        tokens=sum(len(line["sends"]) for line in ended),
        requests=len(kept),
        probes=len(ended) - len(kept),
    )


def _address(child: subprocess.Popen[bytes], folder: Path) -> str:
    """The URL that the server prints when it listens."""
    assert child.stdout is not None
    until, said = time.monotonic() + START_BOUND_S, b""
    while (left := until - time.monotonic()) > 0:
        if select.select([child.stdout], [], [], left)[0]:
            piece = os.read(child.stdout.fileno(), 4096)
            said += piece
            if found := re.search(rb"(https?://\S+)\s", said):
                return found[1].decode()
            if not piece:
                break
    seen = (said + (folder / "server.txt").read_bytes()).decode(errors="replace").strip()[-300:]
    raise RuntimeError(
        f"expected the simulator's address within {START_BOUND_S:.0f} s; seen: {seen or 'nothing'}"
    )


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(timeout=STOP_BOUND_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    finally:
        assert child.stdout is not None
        child.stdout.close()

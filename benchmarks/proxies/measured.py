"""One run of one arm under one load: the time to each request's first token, and the CPU that it took."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import place
from benchmarks.metered import run_metered, tail
from benchmarks.proxies.arms import KEY_ENV, Arm, running
from benchmarks.proxies.loads import Load
from benchmarks.server import serving
from instruments.journal import load_run
from instruments.records import Outcome

JOURNAL = "run.jsonl"


@dataclass(frozen=True, slots=True)
class Run:
    """`ttft_ms` in the order in which requests were due; `cpu_s` and `wall_s` of the load alone."""

    arm: str
    streams: int
    round: int
    ttft_ms: tuple[float, ...] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0
    problem: str | None = None  # why this run counts for nothing


def run_once(arm: Arm, load: Load, number: int, seed: int) -> Run:
    """Start server and arm, put the load on, read the journal; what goes wrong stands in `problem`."""
    scenario = load.scenario()
    with _folder(arm, load) as folder:
        try:
            with serving(scenario, folder) as server, running(arm, server, folder) as way:
                _client(way.url, way.key, load, folder / "warm.jsonl", 20, seed + 1)
                before, began = way.cpu_s(), time.monotonic()
                _client(way.url, way.key, load, folder / JOURNAL, load.requests, seed)
                cpu_s, wall_s = way.cpu_s() - before, time.monotonic() - began
            records = sorted(load_run(folder / JOURNAL).records, key=lambda one: one.due_ns)
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            text = f"{type(error).__name__}: {error}".replace(str(place.ROOT), ".")
            return Run(arm.name, load.streams, number, problem=" ".join(text.split())[-300:])
    done = [one for one in records if one.outcome is Outcome.COMPLETED and one.first_token_ns is not None]
    if len(done) < load.requests:
        return Run(arm.name, load.streams, number, problem=f"{len(done)} of {load.requests} completed")
    ttft_ms = tuple(((one.first_token_ns or 0) - (one.sent_ns or 0)) / 1e6 for one in done)
    return Run(arm.name, load.streams, number, ttft_ms, cpu_s, wall_s)


def _client(url: str, key: str, load: Load, journal: Path, requests: int, seed: int) -> None:
    argv = [place.PYTHON, "-m", "instruments", "run", "--base-url", url, "--model", place.MODEL_NAME]
    argv += ["--requests", str(requests), "--prompt-tokens", "32", "--output-tokens", str(load.tokens)]
    argv += ["--seed", str(seed), "--journal", str(journal), "--api-key-env", KEY_ENV]
    if load.rate_per_s is None:
        argv += ["--users", "1"]
    else:
        argv += ["--rate", f"{load.rate_per_s:g}", "--arrivals", "poisson"]
    usage = run_metered(
        argv,
        {"PYTHONPATH": str(place.ROOT), KEY_ENV: key},
        journal.parent,
        cores=place.server_cores(),  # with the server: the other core is the proxy's alone
        limit_s=load.scenario().limit_s,
    )
    if usage.status not in (0, 3):  # 3: its self-check calls the run void; the stamps are the kernel's
        raise RuntimeError(f"the client ended with {usage.status}: {tail(journal.parent)}")


@contextmanager
def _folder(arm: Arm, load: Load) -> Iterator[Path]:
    runs = place.HOME / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{arm.name}-{load.streams}-", dir=runs))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

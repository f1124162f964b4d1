"""Reading: how long the parts of a large run take to be read and merged, and how much memory.

`python -m benchmarks.scale.reading JOURNAL`, a process of its own, reads one run and prints what that took.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import place
from benchmarks.scale.probe import peak_bytes
from instruments.clock import ClockAnchor
from instruments.journal import Journal, load_run, parts
from instruments.records import ClientCheck, Outcome, Phase, RequestRecord, Window

PARTS = 8
ANSWER_TOKENS = 256
LIMIT_S = 120.0
MS, SECOND = 1_000_000, 1_000_000_000
BEGAN_NS, RUN_NS = 100_000 * SECOND, 600 * SECOND  # a day after the machine's start; so long
CLIENT = ClientCheck(loop_lag_p99_s=0.001, loop_lag_max_s=0.004, gc_pause_max_s=0.002, cpu_share=0.25)
SIZES = (10_000, 40_000)  # requests; two, so that what a process costs by itself falls out
QUICK_SIZES = (1_000, 4_000)


@dataclass(frozen=True, slots=True)
class Read:
    """One reading of a merged run. `problem` says why it counts for nothing."""

    requests: int
    tokens: int  # of each answer
    parts: int
    journal_bytes: int = 0
    seconds: float | None = None
    peak_bytes: int = 0
    problem: str | None = None


def read_all(sizes: tuple[int, ...], rounds: int, seed: int) -> Iterator[Read]:
    """Each size is written once, and read so often, each time by a new process."""
    for requests in sizes:
        with tempfile.TemporaryDirectory(prefix="scale-merge-") as folder:
            journal = Path(folder) / "load.jsonl"
            size = write_parts(journal, requests, seed)
            for _ in range(rounds):
                yield _read_apart(journal, requests, size)


def write_parts(journal: Path, requests: int, seed: int) -> int:
    """A run of so many requests in parts, as so many Pods write them; their bytes.

    The parts' clocks are those of other machines: they differ, and drift a little while the load goes.
    """
    dice, size = np.random.default_rng(seed), 0
    for number, path in enumerate(parts(journal, PARTS)):
        offset_ns = number * 1_000 * SECOND
        before, after = _clock(offset_ns, 0), _clock(offset_ns + MS, RUN_NS)
        told = {"open_loop": True, "processes": PARTS, "part": {"post": f"pod-{number}", "clock": before}}
        anchor = ClockAnchor(BEGAN_NS + offset_ns, 1_795_240_810 * SECOND)
        with Journal(path, journal.stem, told, anchor) as part:
            for index in range(number, requests, PARTS):
                part.append(_record(index, anchor.monotonic_ns + SECOND, dice))
            part.end(Window(anchor.monotonic_ns + SECOND, anchor.monotonic_ns + RUN_NS), CLIENT, None)
        _seal(path, anchor.monotonic_ns + SECOND, after)
        size += path.stat().st_size
    return size


def _clock(offset_ns: int, since_ns: int) -> dict[str, int]:
    return {"offset_ns": offset_ns, "error_ns": 100_000, "at_ns": BEGAN_NS + since_ns, "exchanges": 25}


def _seal(path: Path, start_ns: int, clock: dict[str, int]) -> None:
    """The last line of a part that came from elsewhere (instruments/JOURNAL.md)."""
    written = path.read_bytes()
    sha256 = hashlib.sha256(written).hexdigest()
    line = {"kind": "arrived", "bytes": len(written), "sha256": sha256, "start_ns": start_ns, "clock": clock}
    with path.open("ab") as file:
        file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _record(index: int, start_ns: int, dice: np.random.Generator) -> RequestRecord:
    due_ns = start_ns + index * MS
    waits = np.concatenate(([80 * MS], dice.integers(15 * MS, 25 * MS, ANSWER_TOKENS - 1)))
    chunks = (due_ns + np.cumsum(waits)).tolist()
    return RequestRecord(
        index=index,
        request_id=f"scale-{index}",
        user=index % 1_000,
        phase=Phase.MEASURED,
        outcome=Outcome.COMPLETED,
        due_ns=due_ns,
        sent_ns=due_ns + 50_000,
        headers_ns=chunks[0] - 1_000,
        first_data_ns=chunks[0],
        first_token_ns=chunks[0],
        last_token_ns=chunks[-1],
        done_ns=chunks[-1] + 20_000,
        status=200,
        prompt_tokens=64,
        completion_tokens=ANSWER_TOKENS,
        finish_reason="length",
        chunks_ns=tuple(chunks),
        chunk_tokens=(1,) * ANSWER_TOKENS,
        body_bytes=60_000,
        text_sha256=f"{index:064x}",
        read_lag_ns=100_000,
    )


def _read_apart(journal: Path, requests: int, size: int) -> Read:
    argv = [sys.executable, "-m", "benchmarks.scale.reading", str(journal)]
    told = Read(requests, ANSWER_TOKENS, PARTS, size)
    try:
        done = subprocess.run(
            argv, cwd=place.ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        return replace(told, problem=f"{type(error).__name__}: {error}"[:300])
    said = json.loads(done.stdout)
    if said["requests"] != requests or said["problems"]:
        return replace(told, problem=f"{said['requests']} of {requests} were read; {said['problems']}"[:300])
    return replace(told, seconds=said["seconds"], peak_bytes=said["peak_bytes"])


def main(journal: Path) -> int:
    began = time.monotonic()
    run = load_run(journal)
    seconds = time.monotonic() - began
    told = {"requests": len(run.records), "seconds": seconds, "peak_bytes": peak_bytes(os.getpid())}
    print(json.dumps({**told, "problems": list(run.problems)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

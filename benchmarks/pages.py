"""`python -m benchmarks.pages`: how long the page of a large run takes, and how much memory.

Makes a run in a folder that is gone afterwards (seeded: the same bytes each time), with four objectives on
each load, renders it in a process of its own as `python -m reports RUN` does, and prints what that took.
Nothing is asserted: goals are said to be reached or not. Exit status 1 when the page could not be made.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.meter import Usage
from instruments.clock import ClockAnchor
from instruments.journal import Journal, load_run
from instruments.records import ClientCheck, Outcome, Phase, RequestRecord, Window
from instruments.results import ClaimRecord, RunFolder, SessionRecord
from instruments.slo import ServiceLevelObjective, evaluate
from instruments.statistics import summarize

ROOT = Path(__file__).parents[1]
GOAL_S, GOAL_BYTES = 10.0, 2_000_000_000
LIMIT_S = 300.0  # of one page: a machine that is busy with other things takes several times as long
MS, SECOND = 1_000_000, 1_000_000_000
CLAIM = "suites/latency/test_ttft.py::test_chat"
CLIENT = ClientCheck(loop_lag_p99_s=0.001, loop_lag_max_s=0.004, gc_pause_max_s=0.002, cpu_share=0.25)


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is to render."""

    loads: int = 1
    requests: int = 200_000  # of each load
    tokens: int = 64  # of each answer

    def __str__(self) -> str:
        loads = "one load" if self.loads == 1 else f"{self.loads:,} loads, each"
        return f"{loads} of {self.requests:,} requests with {self.tokens:,} tokens"


def make_run(folder: Path, size: Size, seed: int) -> Path:
    """Write a whole run's folder; returns it. Its verdicts are judged in a process of its own."""
    run = RunFolder(folder)
    run.write_document("fingerprint.json", {"vllm": "0.32"})
    dice = np.random.default_rng(seed)
    journals = [
        _write_load(run.loads / f"chat-{number:03}.jsonl", size, dice) for number in range(size.loads)
    ]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:  # its memory is not the renderer's
        for _ in apart.map(_judge, repeat(folder), journals):
            pass
    run.append_claim(ClaimRecord(CLAIM, "A chat is answered", "passed", 1.5, suite="latency"))
    run.write_session(
        SessionRecord(
            run_id=folder.name,
            started_at="2026-11-21T06:00:00+00:00",
            finished_at="2026-11-21T07:00:00+00:00",
            environment="local",
            engine="vllm",
            exit_code=0,
        )
    )
    return folder


def render(folder: Path) -> Usage:
    """Make the page of a run in a process of its own; what that used, its children included."""
    with tempfile.TemporaryDirectory(prefix="pages-") as told:
        report = Path(told) / "usage.json"
        argv = [sys.executable, "-m", "benchmarks.meter", str(report), str(LIMIT_S), "--"]
        argv += [sys.executable, "-m", "reports", str(folder)]
        subprocess.run(argv, cwd=ROOT, stdout=subprocess.DEVNULL, check=False, timeout=2 * LIMIT_S)
        return Usage(**json.loads(report.read_text()))


def objectives(load: str) -> tuple[ServiceLevelObjective, ...]:
    """One of each way of judging: of requests, of their gaps, of a share."""
    asked = (("ttft_s", "p95", 1.2), ("tpot_s", "p99", 0.05), ("itl_s", "p99", 0.05))
    latencies = (
        ServiceLevelObjective(
            id=f"{load}.{indicator}", description="Answers come soon and evenly", workload="chat",
            indicator=indicator, statistic=statistic, at_most=limit,
        )
        for indicator, statistic, limit in asked
    )  # fmt: skip
    goodput = ServiceLevelObjective(
        id=f"{load}.goodput", description="Nearly all answers begin soon", workload="chat",
        indicator="goodput_share", statistic="share", at_least=0.9, per_request={"ttft_s": 0.5},
    )  # fmt: skip
    return (*latencies, goodput)


def _judge(folder: Path, journal: Path) -> None:
    summary = summarize(load_run(journal))
    for objective in objectives(journal.stem):
        RunFolder(folder).append_verdict(evaluate(summary, objective), journal, CLAIM)


def _write_load(path: Path, size: Size, dice: np.random.Generator) -> Path:
    described = {"workload": {"id": "chat", "rate_per_s": 200.0}, "open_loop": True}
    last_ns = SECOND
    with Journal(path, path.stem, described, ClockAnchor(0, 1_795_240_810 * SECOND)) as journal:
        for record in _records(size, dice):
            journal.append(record)
            last_ns = max(last_ns, record.done_ns or 0)
        journal.end(Window(SECOND, last_ns), CLIENT, None)
    return path


def _records(size: Size, dice: np.random.Generator) -> Iterator[RequestRecord]:
    """Poisson arrivals, 200 a second; lognormal waits of about 20 ms and gaps of about 5 ms."""
    due_ns = SECOND
    for index in range(size.requests):
        due_ns += int(dice.exponential(5 * MS))
        waits = np.concatenate((dice.lognormal(3, 0.4, 1), dice.lognormal(1.6, 0.3, size.tokens - 1)))
        chunks: Sequence[int] = (due_ns + np.cumsum(waits * MS).astype(np.int64)).tolist()
        yield RequestRecord(
            index=index,
            request_id=f"chat-{index}",
            user=0,
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
            completion_tokens=size.tokens,
            finish_reason="length",
            chunks_ns=tuple(chunks),
            chunk_tokens=(1,) * size.tokens,
            body_bytes=9_000,
            text_sha256=f"{index:064x}",
        )


def _told(usage: Usage, folder: Path) -> str:
    journals = sum(path.stat().st_size for path in (folder / "loads").iterdir()) / 1e6
    page = (folder / "report.html").stat().st_size / 1e3
    within = usage.wall_s < GOAL_S and usage.largest_rss_bytes < GOAL_BYTES
    return (
        f"{journals:,.0f} MB of journals: {usage.wall_s:.1f} s ({usage.cpu_s:.1f} s of CPU), "
        f"{usage.largest_rss_bytes / 1e9:.2f} GB at most, a page of {page:,.0f} kB; "
        f"goal of {GOAL_S:.0f} s and {GOAL_BYTES / 1e9:.0f} GB {'reached' if within else 'not reached'}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    add, usual = parser.add_argument, Size()
    add("--loads", type=int, default=usual.loads, metavar="N", help=f"journals of the run ({usual.loads})")
    add(
        "--requests", type=int, default=usual.requests, metavar="N", help=f"of each load ({usual.requests:,})"
    )
    add("--tokens", type=int, default=usual.tokens, metavar="N", help=f"of each answer ({usual.tokens})")
    add("--seed", type=int, default=7, metavar="S", help="of all chance (7)")
    add("--rounds", type=int, default=1, metavar="N", help="how often the page is made (1)")
    given = parser.parse_args()
    if min(given.loads, given.requests, given.tokens, given.rounds) < 1:
        parser.error("expected a whole number from 1 up of loads, requests, tokens and rounds")
    return given


def main() -> int:
    given = _arguments()
    size = Size(given.loads, given.requests, given.tokens)
    with tempfile.TemporaryDirectory(prefix="pages-") as place:
        folder = make_run(Path(place) / "run-1", size, given.seed)
        print(size)
        for _ in range(given.rounds):
            usage = render(folder)
            if usage.status != 0:
                print(f"the page was not made: exit status {usage.status}", file=sys.stderr)
                return 1
            print(_told(usage, folder), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The fleet: load from one process or several, each a whole engine with a journal; merged by reading.

Records never travel between processes of ours: the parent reads the journals as they grow, and so knows
how a load goes without disturbing it.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from instruments import errors
from instruments.arrivals import ClosedLoop
from instruments.clock import NANOSECONDS, ClockAnchor
from instruments.journal import JournalTail, load_run, parts
from instruments.limits import RunLimits
from instruments.plan import Share
from instruments.records import LoadRun, RequestRecord
from instruments.target import Target
from instruments.worker import FAILED, WorkOrder
from instruments.workloads import Workload
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary

ROOT = Path(__file__).resolve().parent.parent
LOOK_EVERY_S = 0.25
START_IN_NS = NANOSECONDS // 50  # the time that "go" takes to reach the last worker
GRACE_S = 30.0  # beyond all bounds of the run itself
STOP_BOUND_S = 10.0
USERS_A_PROCESS = 256
RATE_A_PROCESS = 500.0


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """A load, whole: what is asked, of whom, when, until when, and where it is written."""

    name: str
    workload: Workload
    target: Target
    model: str
    seed: int
    journal: Path  # of several processes, each writes its own beside this name: see instruments.journal
    vocabulary: Vocabulary = WORDS_AS_TOKENS
    limits: RunLimits = field(default_factory=RunLimits)
    duration_s: float | None = None
    processes: int = 1
    description: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a load goes: what ended since the last look, and how much was due by now."""

    elapsed_s: float
    records: tuple[RequestRecord, ...]
    ended: int
    users: int | None = None  # of a closed loop


Watcher = Callable[[Progress], None]


def processes_for(spec_processes: str | int, workload: Workload) -> int:
    """The number of processes for `auto` or a number: one for each 256 users or 500 requests a second.

    Never more than the cores that this process may use less one, which the machine itself needs.
    """
    if spec_processes != "auto":
        return max(1, int(spec_processes))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    arrivals = workload.arrivals
    if isinstance(arrivals, ClosedLoop):
        wanted = -(-arrivals.users // USERS_A_PROCESS)
    else:
        wanted = 1 + int(_rate_per_s(arrivals.due_ns(0)) // RATE_A_PROCESS)
    return max(1, min(wanted, cores - 1))


def run_load(spec: LoadSpec, progress: Watcher | None = None) -> LoadRun:
    """Run a load to its end. WorkerDied, JournalError or ConfigurationError when it cannot be run.

    KeyboardInterrupt stops the workers first: their journals are whole when it goes on.
    """
    spec.workload.check()  # a bad line of a file is refused before anything is sent
    anchor = ClockAnchor.now()
    journals = parts(spec.journal, spec.processes)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(_order(spec, anchor, journal, Share(number, len(journals)))))
            for number, journal in enumerate(journals)
        ]
        try:
            _start(workers)
            _watch(spec, workers, journals, progress)
        except KeyboardInterrupt:
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.wait(STOP_BOUND_S)
            raise
    return load_run(spec.journal)


def _order(spec: LoadSpec, anchor: ClockAnchor, journal: Path, share: Share) -> WorkOrder:
    return WorkOrder(
        name=spec.name,
        workload=spec.workload,
        vocabulary=spec.vocabulary,
        target=spec.target,
        model=spec.model,
        seed=spec.seed,
        journal=journal,
        anchor=anchor,
        limits=spec.limits,
        duration_s=spec.duration_s,
        share=share,
        description={
            **spec.description,
            "vocabulary": {
                "source": spec.vocabulary.source,
                "exact": spec.vocabulary.exact,
                "sha256": spec.vocabulary.fingerprint(),
            },
            "processes": share.of,
            "open_loop": not isinstance(spec.workload.arrivals, ClosedLoop),
        },
    )


def _start(workers: Sequence[_Worker]) -> None:
    """All begin at one instant: none is given it before the last one is ready."""
    for worker in workers:
        worker.wait_until_ready()
    start_ns = time.monotonic_ns() + (START_IN_NS if len(workers) > 1 else 0)
    for worker in workers:
        worker.begin(start_ns)


def _watch(
    spec: LoadSpec, workers: Sequence[_Worker], journals: Sequence[Path], progress: Watcher | None
) -> None:
    """Until the last worker has gone; longer than all bounds of the run allow, and it is stopped."""
    began_s = time.monotonic()
    bound_s = spec.limits.duration_s + spec.target.timeouts.total_s + GRACE_S
    tails = [JournalTail(journal) for journal in journals] if progress is not None else []
    users = spec.workload.arrivals.users if isinstance(spec.workload.arrivals, ClosedLoop) else None
    ended = 0
    waiting = list(workers)
    while waiting:
        waiting = [worker for worker in waiting if not worker.wait(LOOK_EVERY_S / len(waiting))]
        elapsed_s = time.monotonic() - began_s
        if progress is not None:
            records = tuple(record for tail in tails for record in tail.fresh())
            ended += len(records)
            progress(Progress(elapsed_s, records, ended, users))
        if elapsed_s > bound_s:
            raise errors.WorkerDied(
                f"the load {spec.name} did not come to its end",
                expected=f"an end within {bound_s:g} s: the run's bound, a request's, and {GRACE_S:g} s",
                seen=f"{len(waiting)} of {len(workers)} processes still running",
            )


class _Worker:
    """One child process that runs an engine."""

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._words: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving

    def __enter__(self) -> _Worker:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "instruments.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with suppress(BrokenPipeError):  # it has gone already; `wait_until_ready` finds out why
            self._orders.write(self._order.packed())
        return self

    def __exit__(self, *_: object) -> None:
        process = self._running
        self.stop()
        if process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_BOUND_S)
        if process.poll() is None:
            process.kill()
        process.wait()
        self._answers.close()
        self._words.close()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # noqa: S101 - narrows a type
        return self._process

    @property
    def _orders(self) -> Any:
        return self._running.stdin

    @property
    def _answers(self) -> Any:
        return self._running.stdout

    def wait_until_ready(self) -> None:
        """Wait until it has opened its connections. Bounded by what that may take."""
        bound_s = 10 * self._order.target.timeouts.connect_s + GRACE_S
        answer = self._answer(bound_s)
        if answer is None:
            self._died(f"within {bound_s:g} s it did not say that it is ready")
        elif "error" in answer:
            self._fail(answer)

    def begin(self, start_ns: int) -> None:
        with suppress(BrokenPipeError):
            self._orders.write(f"{start_ns}\n".encode())

    def stop(self) -> None:
        """Tell it to stop; harmless when it has gone."""
        with suppress(BrokenPipeError):
            self._orders.close()

    def wait(self, bound_s: float) -> bool:
        """Whether it has ended within a bound. Raises what it has said, if it failed."""
        try:
            code = self._running.wait(bound_s)
        except subprocess.TimeoutExpired:
            return False
        if code == FAILED and (answer := self._answer(0.0)) is not None and "error" in answer:
            self._fail(answer)
        if code != 0:
            self._died(f"it ended with status {code}")
        return True

    def _answer(self, bound_s: float) -> dict[str, Any] | None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(bound_s):
                return None
        line = b"".join(
            takewhile(lambda byte: byte != b"\n", iter(lambda: self._answers.read(1) or b"\n", None))
        )
        answer: dict[str, Any] | None = json.loads(line) if line else None
        return answer

    def _fail(self, answer: Mapping[str, Any]) -> None:
        raise getattr(errors, answer["error"], errors.SloError)(*answer["arguments"], **answer["facts"])

    def _died(self, what: str) -> None:
        self._words.seek(0)
        said = self._words.read()[-4_000:].decode("utf-8", "replace").strip()
        raise errors.WorkerDied(
            f"a process that sent the load {self._order.name} is gone: {what}",
            seen=said or "it said nothing",
            hint=f"what it had measured is in {self._order.journal}",
        )


def _rate_per_s(due_ns: Iterable[int]) -> float:
    """The rate of the first thousand arrivals."""
    first = [instant for instant, _ in zip(due_ns, range(1_000), strict=False)]
    if len(first) < 2 or first[-1] <= first[0]:
        return 0.0
    return (len(first) - 1) * NANOSECONDS / (first[-1] - first[0])

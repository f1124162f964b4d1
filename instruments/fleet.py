"""The fleet: load from one process or several, each a whole engine with a journal; merged by reading.

Records never travel between processes of ours: the parent reads the journals as they grow, and so knows
how a load goes without disturbing it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from instruments import errors
from instruments.arrivals import ClosedLoop
from instruments.clock import NANOSECONDS, ClockAnchor
from instruments.journal import JournalTail, load_run, parts
from instruments.limits import RunLimits
from instruments.looks import Looks, Rule
from instruments.plan import Share
from instruments.records import LoadRun, RequestRecord
from instruments.remote import Post
from instruments.spawn import Spawned, spawn
from instruments.target import Target
from instruments.worker import AT_ONCE, ENOUGH, FAILED, WorkOrder, is_ready
from instruments.workloads import Workload
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary

LOOK_EVERY_S = 0.25
START_IN_NS = NANOSECONDS // 50  # the time that "go" takes to reach the last worker
GRACE_S = 30.0  # beyond all bounds of the run itself
# With posts elsewhere: what "go" takes to reach the last, and what their journals take to come back.
POSTS_START_IN_NS = NANOSECONDS
POSTS_GRACE_S, POSTS_STOP_BOUND_S = 120.0, 60.0
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
    crew: tuple[Post, ...] = ()  # sent from there, an engine each, instead of from processes of this machine
    description: Mapping[str, Any] = field(default_factory=dict)

    def told(self, processes: int, *, looked_at: bool) -> dict[str, Any]:
        """The description that a journal begins with; `looked_at`: a rule may end the run before its plan."""
        words, most = self.vocabulary, self.workload.requests_most
        sampling = {
            "looks": "open" if looked_at else "planned",
            "requests_fewest": self.workload.requests_measured,
            "requests_most": most,
        }
        return {
            "vocabulary": {"source": words.source, "exact": words.exact, "sha256": words.fingerprint()},
            **self.description,
            "processes": processes,
            **({"posts": [post.name for post in self.crew[:processes]]} if self.crew else {}),
            "open_loop": not isinstance(self.workload.arrivals, ClosedLoop),
            **({"sampling": sampling} if most is not None else {}),
        }


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
    arrivals = workload.arrivals
    most = arrivals.users if isinstance(arrivals, ClosedLoop) else None  # none without a user
    if spec_processes != "auto":
        return max(1, min(int(spec_processes), most or int(spec_processes)))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(arrivals, ClosedLoop):
        wanted = -(-arrivals.users // USERS_A_PROCESS)
    else:
        wanted = 1 + int(_rate_per_s(arrivals.due_ns(0)) // RATE_A_PROCESS)
    return max(1, min(wanted, cores - 1))


def run_load(
    spec: LoadSpec,
    progress: Watcher | None = None,
    *,
    until: Rule | None = None,
    spawned: Spawned | None = None,
) -> LoadRun:
    """Run a load to its end. WorkerDied, JournalError or ConfigurationError when it cannot be run.

    `until` is asked, of a workload with `requests_most`, whether the measured requests so far are enough
    (instruments.looks). When they are, what is in flight ends and the run is complete: nothing more was due.
    `spawned` is a worker that was started before, to be used up.

    What `until` raises ends the run. Whatever ends it, Ctrl-C or the loss of a worker, the others are stopped
    first: their journals are whole when it goes on.
    """
    spec.workload.check()  # a bad line of a file is refused before anything is sent
    anchor = ClockAnchor.now()
    arrivals = spec.workload.arrivals
    until = until if spec.workload.requests_most is not None else None
    processes = len(spec.crew) or spec.processes
    processes = min(processes, arrivals.users) if isinstance(arrivals, ClosedLoop) else processes
    journals = parts(spec.journal, processes)
    spec = replace(spec, description=spec.told(processes, looked_at=until is not None))
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                _Worker(
                    _order(spec, anchor, journal, Share(number, processes)),
                    spec.crew[number] if spec.crew else None,
                    None if number or spec.crew else spawned,
                )
            )
            for number, journal in enumerate(journals)
        ]
        try:
            _start(workers, POSTS_START_IN_NS if spec.crew else START_IN_NS if processes > 1 else None)
            _watch(spec, workers, journals, progress, until)
        except BaseException:
            for worker in workers:
                worker.stop()  # all at once; the end of the block waits for each, within a bound
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
        limits=_shared(spec.limits, share.of),
        duration_s=spec.duration_s,
        share=share,
        description=spec.description,
    )


def _shared(limits: RunLimits, processes: int) -> RunLimits:
    """The limits of one process of several: what may be in flight is shared out."""
    if limits.in_flight is None:
        return limits
    return replace(limits, in_flight=max(1, limits.in_flight // processes))


def _start(workers: Sequence[_Worker], start_in_ns: int | None) -> None:
    """All begin at one instant: none is given it before the last one is ready. None: there is only one."""
    for worker in workers:
        worker.wait_until_ready()
    start_ns = AT_ONCE if start_in_ns is None else time.monotonic_ns() + start_in_ns
    for worker in workers:
        worker.begin(start_ns)


def _watch(
    spec: LoadSpec,
    workers: Sequence[_Worker],
    journals: Sequence[Path],
    progress: Watcher | None,
    until: Rule | None,
) -> None:
    """Until the last worker has gone; longer than all bounds of the run allow, and it is stopped."""
    began_s = time.monotonic()
    grace_s = GRACE_S + (POSTS_GRACE_S if spec.crew else 0.0)
    bound_s = spec.limits.duration_s + spec.target.timeouts.total_s + grace_s
    tails = [JournalTail(journal) for journal in journals] if progress or until else []
    looks = Looks(until, spec.workload.requests_measured or 0) if until is not None else None
    users = spec.workload.arrivals.users if isinstance(spec.workload.arrivals, ClosedLoop) else None
    ended = 0
    waiting = list(workers)
    while waiting:
        waiting = [worker for worker in waiting if not worker.wait(LOOK_EVERY_S / len(waiting))]
        elapsed_s = time.monotonic() - began_s
        records = tuple(record for tail in tails for record in tail.fresh())
        ended += len(records)
        if progress is not None:
            progress(Progress(elapsed_s, records, ended, users))
        if looks is not None and (looked_at := looks.enough(records)) is not None:
            looks = None
            for worker in workers:
                worker.enough(looked_at)
        if elapsed_s > bound_s:
            raise errors.WorkerDied(
                f"the load {spec.name} did not come to its end",
                expected=f"an end within {bound_s:g} s: the run's bound, a request's, and {grace_s:g} s",
                seen=f"{len(waiting)} of {len(workers)} processes still running",
            )


class _Worker:
    """One child process that runs an engine, or stands for one that runs elsewhere."""

    def __init__(self, order: WorkOrder, post: Post | None, spawned: Spawned | None) -> None:
        self._order = order
        self._post = post
        self._child = spawned or (spawn() if post is None else spawn(_near(post), POSTS_STOP_BOUND_S))

    def __enter__(self) -> _Worker:
        self._child.tell(self._order.packed())  # one that has gone already: `wait_until_ready` finds out why
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end()

    def wait_until_ready(self) -> None:
        """Wait until it has opened its connections. Bounded by what that may take."""
        bound_s = 10 * self._order.target.timeouts.connect_s + GRACE_S
        if not self._child.says_something(bound_s):
            self._died(f"within {bound_s:g} s it did not say that it is ready")
        line = b""
        while not line.endswith(b"\n") and (byte := self._child.answers.read(1)):
            line += byte
        if not is_ready(line):
            self.stop()  # whatever it is doing: it is not waiting for its start
            self._ended(line)

    def begin(self, start_ns: int) -> None:
        self._child.tell(f"{start_ns}\n".encode())

    def enough(self, looked_at: int) -> None:
        """Tell it to send nothing more, for the first so many decide all; harmless when it has gone."""
        self._child.tell(f"{ENOUGH} {looked_at}\n".encode())

    def stop(self) -> None:
        """Tell it to stop; harmless when it has gone."""
        self._child.stop()

    def wait(self, bound_s: float) -> bool:
        """Whether it has ended within a bound. Raises what it has said, if it failed."""
        if not self._child.says_something(bound_s):
            return False
        self._ended(b"")
        return True

    def _ended(self, said: bytes) -> None:
        """It has nothing more to say: see what it said, and how it ended."""
        while part := self._child.answers.read(65_536):
            said += part
        try:
            code = self._child.process.wait(self._child.stop_bound_s)
        except subprocess.TimeoutExpired:
            self._died(f"it has said all and is still there after {self._child.stop_bound_s:g} s")
        if code == FAILED and said:
            answer = json.loads(said)
            kind = getattr(errors, answer["error"], errors.SloError)
            raise kind(*answer["arguments"], **answer["facts"])
        if code != 0:
            self._died(f"it ended with status {code}")

    def _died(self, what: str) -> NoReturn:
        raise errors.WorkerDied(
            f"a process that sent the load {self._order.name}"
            f"{f' from {self._post.name}' if self._post else ''} is gone: {what}",
            seen=self._child.last_words() or "it said nothing",
            hint=f"what it had measured is in {self._order.journal}",
        )


def _near(post: Post) -> tuple[str, ...]:
    return ("-m", "instruments.remote.near", post.name, *post.command)


def _rate_per_s(due_ns: Iterable[int]) -> float:
    """The rate of the first thousand arrivals."""
    first = [instant for instant, _ in zip(due_ns, range(1_000), strict=False)]
    if len(first) < 2 or first[-1] <= first[0]:
        return 0.0
    return (len(first) - 1) * NANOSECONDS / (first[-1] - first[0])

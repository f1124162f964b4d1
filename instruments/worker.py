"""A process that runs one engine and nothing else: small, quiet, and gone when its parent is.

It is given a WorkOrder on its standard input, says "ready" in a line, starts at the instant that the next
line of its input names, and writes its journal. A further line, "enough N", lets what is in flight end and
sends nothing more: the first N requests of the plan were looked at, and decide all. The end of its input is
the order to stop at once: a parent that was killed leaves nothing running. Ctrl-C and SIGTERM reach whole
groups of processes, and are the parent's to deal with.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from instruments.clock import ClockAnchor
from instruments.engine import INTERRUPTED, LoadEngine
from instruments.errors import SloError
from instruments.journal import Journal
from instruments.limits import RunLimits
from instruments.loop import SocketLoop
from instruments.plan import LoadPlan, Share
from instruments.selfcheck import SelfCheck
from instruments.target import Target
from instruments.transport.http import HttpTransport
from instruments.workloads import Workload
from instruments.workloads.vocabulary import Vocabulary

AT_ONCE = 0  # the start of a worker that has nobody to wait for
ENOUGH = "enough"  # all is decided: what ends a run well before its plan is through
READY = {"ready": True}
FAILED = 70  # exit status of a worker that has said why in its last line
_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """All that a worker needs. Keys are in `target.headers`: an order travels through a pipe only."""

    name: str
    workload: Workload
    vocabulary: Vocabulary
    target: Target
    model: str
    seed: int
    journal: Path
    anchor: ClockAnchor
    limits: RunLimits = field(default_factory=RunLimits)
    duration_s: float | None = None
    share: Share = field(default_factory=Share)
    description: Mapping[str, Any] = field(default_factory=dict)

    def packed(self) -> bytes:
        data = pickle.dumps(self)
        return _LENGTH.pack(len(data)) + data


def read_order(descriptor: int) -> WorkOrder:
    """The order that a parent wrote, `packed`. SystemExit when the parent went before it had said it."""
    (length,) = _LENGTH.unpack(_exactly(descriptor, _LENGTH.size))
    order: WorkOrder = pickle.loads(_exactly(descriptor, length))  # noqa: S301 - from the parent's own pipe
    return order


def run(order: WorkOrder, orders: int, answers: BinaryIO) -> None:
    """Run an order; `orders` is the descriptor that brings the start, "enough" and, by its end, the stop."""
    loop = SocketLoop()
    requests = order.workload.requests(order.model, order.seed, order.vocabulary)
    budget = order.workload.requests_most is not None
    plan = LoadPlan(
        order.name, requests, order.workload.arrivals, order.limits, order.description,
        seed=order.seed, duration_s=order.duration_s, share=order.share,
        fewest=order.workload.requests_measured if budget else None,
    )  # fmt: skip
    transport = HttpTransport(
        loop,
        order.target.base_url,
        headers=order.target.headers,
        tls=order.target.tls_context(),
        timeouts=order.target.timeouts,
        proxy=order.target.proxy,
    )
    with Journal(order.journal, order.name, order.description, order.anchor) as journal:
        engine = LoadEngine(transport, journal, loop, check=SelfCheck(loop), keep=False)

        def obey(_event: int) -> None:
            match line_of(orders).decode().split():
                case []:
                    loop.forget(orders)
                    engine.stop(INTERRUPTED, at_once=True)
                case [word, looked_at] if word == ENOUGH:
                    engine.enough(int(looked_at))
                case line:
                    raise ValueError(f"an order that nobody knows: {line}")

        def begin() -> int:
            say(answers, READY)
            line = line_of(orders)
            if not line:
                raise KeyboardInterrupt
            loop.watch(orders, obey)
            return int(line) or loop.now_ns()

        with suppress(KeyboardInterrupt):  # told to stop before it began: the journal says so
            engine.run(plan, order.anchor, begin)
    loop.close()


def say(answers: BinaryIO, answer: Mapping[str, Any]) -> None:
    """A line to the parent: that it is ready, or why it failed."""
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def is_ready(line: bytes) -> bool:
    """Whether a worker says that it is ready; the words of an error may say so of something else."""
    return line.rstrip() == json.dumps(READY).encode()


def failure(error: SloError) -> dict[str, Any]:
    """What a parent raises anew."""
    return {"error": type(error).__name__, "arguments": [error.message], "facts": error.facts()}


def line_of(descriptor: int) -> bytes:
    """One line, without a buffer that would swallow what comes after it; b"" at the end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return b""
        line += byte
    return bytes(line)


def _raise_descriptor_limit() -> None:
    """As many sockets as the machine's administrator allows: one for each request in flight."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says "no limit" and means 10,240
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 10_240, hard))


def main() -> int:
    """The process. What goes wrong with the order is its last line; a mistake of ours is a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):  # which reach whole groups: the parent says when to stop
        signal.signal(number, signal.SIG_IGN)
    _raise_descriptor_limit()
    orders, answers = sys.stdin.fileno(), sys.stdout.buffer
    order = read_order(orders)
    try:
        run(order, orders, answers)
    except SloError as error:
        say(answers, failure(error))
        return FAILED
    return 0


def _exactly(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            raise SystemExit(0)  # the parent went before it had said what to do
        data += part
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())

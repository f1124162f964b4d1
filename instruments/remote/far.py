"""`python -m instruments.remote.far`: the side of a load engine that is there; near is the other.

It starts the same worker that a fleet starts here, and passes on what it is told. While the load goes the
journal is sent as it grows, by a process of low priority and no faster than a bound, so that to watch a load
does not disturb it; the rest comes when it is over, with the hash of the whole. Two threads: one obeys, one
sends. Who does not say anything for LOST_AFTER_S is gone, and so is the engine then.
"""

from __future__ import annotations

import os
import select
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn

from instruments.remote import frames
from instruments.remote.collecting import Collector
from instruments.remote.frames import Frame, Kind
from instruments.remote.parcel import unpacked
from instruments.remote.sources import digest
from instruments.spawn import Spawned, spawn
from instruments.worker import ENOUGH

LOST_AFTER_S = 20.0
NICENESS = 10
GONE = 69  # exit status: whoever started this has gone


class Far:
    """One engine here, for one near elsewhere."""

    def __init__(self, orders: int, answers: int, folder: Path) -> None:
        self._incoming = frames.Incoming(orders)
        self._orders, self._answers, self._folder = orders, answers, folder
        self._lock = threading.Lock()
        self._worker: Spawned | None = None

    def run(self) -> None:
        """Obey until the other side has gone, as it does when it has all that it wants."""
        self._send(Frame.of(Kind.HELLO, {"sources": digest()}))
        while not self._incoming.ended:
            readable, _, _ = select.select([self._orders], [], [], LOST_AFTER_S)
            if not readable:
                break
            for frame in self._incoming.read():
                self._obey(frame)
        self._end()

    def _obey(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.PING:
                at_ns = time.monotonic_ns()
                self._send(Frame.of(Kind.PONG, {"number": frame.told()["number"], "at_ns": at_ns}))
            case Kind.ORDER:
                self._begin(frame.content)
            case Kind.START:
                self._tell(f"{frame.told()['start_ns']}\n")
            case Kind.ENOUGH:
                self._tell(f"{ENOUGH} {frame.told()['looked_at']}\n")
            case Kind.STOP:
                self._stop()
            case Kind.BYE:
                self._incoming.ended = True

    def _begin(self, parcel: bytes) -> None:
        order = unpacked(parcel, self._folder)
        self._worker = spawn()
        os.nice(NICENESS)  # from here on, and not for the worker
        collector = Collector(self._worker, order.journal, self._send)
        self._worker.tell(order.packed())
        threading.Thread(target=self._collect, args=[collector], daemon=True).start()

    def _collect(self, collector: Collector) -> None:
        try:
            collector.run()
        except OSError:  # nobody takes it: the other thread sees the end of its input, or silence
            self._stop()

    def _tell(self, line: str) -> None:
        if self._worker is not None and not self._worker.orders.closed:
            self._worker.tell(line.encode())  # one that has ended: the other thread tells it

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()

    def _end(self) -> None:
        """No engine outlives its connection: whatever it is doing, it is over within a bound."""
        if self._worker is not None:
            self._worker.end()

    def _send(self, frame: Frame) -> None:
        with self._lock:
            frames.send(self._answers, frame)


def main() -> NoReturn:
    with tempfile.TemporaryDirectory(prefix="vllm-slo-load-") as folder:
        answers = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints does not print into a frame
        try:
            Far(sys.stdin.fileno(), answers, Path(folder)).run()
            status = 0
        except BrokenPipeError:
            status = GONE
    os._exit(status)  # the other thread may be in the midst of writing to nobody


if __name__ == "__main__":
    main()

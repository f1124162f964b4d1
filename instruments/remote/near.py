"""`python -m instruments.remote.near NAME COMMAND...`: a worker that is elsewhere, for the fleet here.

Speaks a worker's protocol on its standard input and output (instruments.worker), and frames with the far side
that COMMAND starts. Brings over the order and what it names, tells instants as the far clock shows them, and
writes the journal here as it comes. At its end the clocks are compared again, and a last line seals what
came: length, hash, clocks. What went wrong is said as a worker says it, with the post's name.
"""

from __future__ import annotations

import hashlib
import json
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from instruments import errors
from instruments.clock import ClockAnchor
from instruments.journal import cannot_write
from instruments.remote import Post
from instruments.remote.clocks import ClockOffset
from instruments.remote.frames import Frame, Kind
from instruments.remote.line import BEAT_EVERY_S, CONNECT_BOUND_S, Line
from instruments.remote.parcel import parcel_of
from instruments.remote.sources import digest
from instruments.worker import ENOUGH, FAILED, READY, WorkOrder, failure, line_of, read_order, say

STOP_BOUND_S = 30.0  # from "stop" to the last byte of the journal


class Near:
    """One post, for one order."""

    def __init__(self, line: Line, order: WorkOrder, orders: int, answers: BinaryIO) -> None:
        self._line, self._order = line, order
        self._orders, self._answers = orders, answers
        self._start_ns: int | None = None  # on the far clock
        self._until_s: float | None = None  # the end that was asked for has to come by then
        self._obeys = True

    def run(self) -> None:
        """To the load's end. WorkerDied, JournalError or ConfigurationError, each with the post's name."""
        self._same_sources(self._line.wait_for(Kind.HELLO, CONNECT_BOUND_S).told()["sources"])
        before = self._line.clock()
        parcel = parcel_of(self._over_there(before))
        self._line.send(Frame(Kind.ORDER, parcel.packed()))
        try:
            self._order.journal.parent.mkdir(parents=True, exist_ok=True)
            with self._order.journal.open("wb", buffering=0) as journal:
                ending = self._follow(journal, before)
                arrived_whole(self._order.journal, ending, self._line.post.name)
                self._seal(journal, ending, self._line.clock())
        except OSError as error:
            raise cannot_write(self._order.journal, error) from error
        self._raise_if_failed(ending)

    def _same_sources(self, theirs: str) -> None:
        if theirs != digest():
            raise errors.ConfigurationError(
                f"the load engine at {self._line.post.name} is not the one of this machine",
                expected=f"instruments with the hash {digest()[:12]}: the parts of a load are sent alike",
                seen=theirs[:12],
                hint="build its image from this working tree",
            )

    def _over_there(self, clock: ClockOffset) -> WorkOrder:
        """The order with its anchor on the far clock: the same instant, on the same wall clock."""
        anchor, post = self._order.anchor, self._line.post.name
        part = {"post": post, "clock": clock.told()}
        return replace(
            self._order,
            anchor=ClockAnchor(anchor.monotonic_ns + clock.offset_ns, anchor.unix_ns),
            description={**self._order.description, "part": part},
        )

    def _follow(self, journal: IO[bytes], clock: ClockOffset) -> dict[str, Any]:
        """Pass orders on and write what comes, until the far engine's end; how it ended."""
        while True:
            watched: list[Any] = [self._line, *([self._orders] if self._obeys else [])]
            readable, _, _ = select.select(watched, [], [], BEAT_EVERY_S / 4)
            if self._orders in readable:
                self._obey(line_of(self._orders).decode().split(), clock)
            for frame in self._line.come() if self._line in readable else ():
                if frame.kind is Kind.DATA:
                    journal.write(frame.content)
                elif frame.kind is Kind.READY:
                    say(self._answers, READY)
                elif frame.kind is Kind.END:
                    return frame.told()
            self._line.beat()
            if self._until_s is not None and time.monotonic() > self._until_s:
                raise self._line.lost(f"it did not stop within {STOP_BOUND_S:g} s")

    def _obey(self, words: list[str], clock: ClockOffset) -> None:
        match words:
            case []:  # the end of our input: the order to stop
                self._obeys = False
                self._until_s = time.monotonic() + STOP_BOUND_S
                self._line.send(Frame(Kind.STOP))
            case [word, looked_at] if word == ENOUGH:
                self._line.send(Frame.of(Kind.ENOUGH, {"looked_at": int(looked_at)}))
            case [start]:  # a fleet that has posts names an instant: there is nobody who could start at once
                self._start_ns = int(start) + clock.offset_ns
                self._line.send(Frame.of(Kind.START, {"start_ns": self._start_ns}))

    def _seal(self, journal: IO[bytes], ending: dict[str, Any], clock: ClockOffset) -> None:
        told = {
            "kind": "arrived",
            "post": self._line.post.name,
            "bytes": ending["bytes"],
            "sha256": ending["sha256"],
            "start_ns": self._start_ns,
            "clock": clock.told(),
        }
        journal.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")

    def _raise_if_failed(self, ending: dict[str, Any]) -> None:
        status, said, post = ending["status"], ending["said"], self._line.post.name
        if status == FAILED and said:
            kind = getattr(errors, said["error"], errors.SloError)
            raise kind(f"{post}: {said['arguments'][0]}", **said["facts"])
        if status != 0:
            kills = ending["oom_kills"]
            why = f"; {kills} of its processes killed for their memory (OOM)" if kills else ""
            raise self._line.lost(f"its process ended with status {status}{why}", ending["words"])


def arrived_whole(journal: Path, ending: dict[str, Any], post: str) -> None:
    """JournalError unless what lies here is what was written there, to the byte."""
    with journal.open("rb") as file:
        here = hashlib.file_digest(file, "sha256").hexdigest()
    if here != ending["sha256"]:
        raise errors.JournalError(
            f"the part of the load from {post} did not arrive as it was written",
            expected=f"{ending['bytes']:,} bytes with the SHA-256 {ending['sha256']}",
            seen=f"{journal.stat().st_size:,} bytes with {here}",
            hint="the run is void: run it again",
        )


def main() -> int:
    """The process. Signals reach whole groups: whoever started it says when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    name, *command = sys.argv[1:]
    order, answers = read_order(sys.stdin.fileno()), sys.stdout.buffer
    try:
        with Line(Post(name, tuple(command))) as line:
            Near(line, order, sys.stdin.fileno(), answers).run()
    except errors.SloError as error:
        with suppress(BrokenPipeError):
            say(answers, failure(error))
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())

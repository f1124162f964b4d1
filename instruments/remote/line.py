"""The line to a post: the command that leads there, frames over its pipes, and what it said when it broke."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections import deque
from contextlib import suppress
from types import TracebackType

from instruments.errors import WorkerDied
from instruments.remote import Post, frames
from instruments.remote.clocks import EXCHANGES, ClockOffset, Exchange, offset_of
from instruments.remote.frames import Frame, Incoming, Kind, NotAFrame

CONNECT_BOUND_S = 60.0  # until the far side has said hello: a Python starts there, maybe on a busy node
ANSWER_BOUND_S = 5.0
LOST_AFTER_S = 20.0  # without a frame; the far side beats every two seconds
BEAT_EVERY_S = 2.0
END_BOUND_S = 15.0  # until the far side has gone after its input ended: its engine has 10 s to stop
WORDS_SHOWN = 2_000


class Line:
    """A far side, for as long as the block goes on. What breaks it is WorkerDied with the post's name."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the line is
        try:
            # In a session of its own: Ctrl-C is for who started us, who says when to stop.
            self._process = subprocess.Popen(
                post.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, bufsize=0,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._words.close()
            raise WorkerDied(f"{post.name} cannot be reached", seen=f"{post.command[0]}: {error}") from None
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - narrows types
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self._incoming = Incoming(self._answers.fileno())
        self._waiting: deque[Frame] = deque()
        self._heard_s = self._beat_s = time.monotonic()

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            frames.send(self._orders.fileno(), Frame(Kind.BYE))
        with suppress(BrokenPipeError):
            self._orders.close()  # the far side ends by either
        try:
            self._process.wait(END_BOUND_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._answers.close()
        self._words.close()

    def fileno(self) -> int:
        """What becomes readable when something has come."""
        return self._incoming.descriptor

    def send(self, frame: Frame) -> None:
        try:
            frames.send(self._orders.fileno(), frame)
        except BrokenPipeError:
            raise self.lost("the connection is gone") from None

    def come(self) -> list[Frame]:
        """What has come; to be called when something has."""
        try:
            found = self._incoming.read()
        except NotAFrame as error:
            raise self.lost(f"something else than a load engine answers there: {error}") from None
        if self._incoming.ended:
            raise self.lost("the connection has ended before the load's end")
        self._heard_s = time.monotonic()
        return found

    def beat(self) -> None:
        """Say now and then that we are there. WorkerDied where the far side has not for too long."""
        now_s = time.monotonic()
        if now_s - self._heard_s > LOST_AFTER_S:
            raise self.lost(f"nothing came for {LOST_AFTER_S:g} s")
        if now_s - self._beat_s > BEAT_EVERY_S:
            self._beat_s = now_s
            self.send(Frame(Kind.BEAT))

    def wait_for(self, kind: Kind, bound_s: float) -> Frame:
        """The next frame of a kind; those of others are passed over."""
        until_s = time.monotonic() + bound_s
        while True:
            while self._waiting:
                if (frame := self._waiting.popleft()).kind is kind:
                    return frame
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([self], [], [], left_s)[0]:
                raise self.lost(f"within {bound_s:g} s no {kind.name} came")
            self._waiting += self.come()

    def clock(self) -> ClockOffset:
        """By how much the far clock is ahead of ours."""
        return offset_of([self._exchange(number) for number in range(EXCHANGES)])

    def _exchange(self, number: int) -> Exchange:
        ping = Frame.of(Kind.PING, {"number": number})
        sent_ns = time.monotonic_ns()
        self.send(ping)
        answer = self.wait_for(Kind.PONG, ANSWER_BOUND_S)
        received_ns = time.monotonic_ns()
        return Exchange(sent_ns, int(answer.told()["at_ns"]), received_ns)

    def lost(self, what: str, words: str = "") -> WorkerDied:
        """The error, with what the command itself said."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)  # what has ended has said why; what has not says nothing more
        self._words.seek(0)
        said = self._words.read()[-WORDS_SHOWN:].decode("utf-8", "replace").strip()
        status = self._process.poll()
        ended = "" if status is None else f"its command ended with status {status}"
        seen = "; ".join(part for part in (ended, words, said) if part)
        return WorkerDied(
            f"the load engine at {self.post.name} is lost: {what}",
            expected="an engine that runs until its load is over, and hands its journal over",
            seen=seen or "it said nothing",
        )

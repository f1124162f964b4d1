"""Wire: one HTTP/1.1 connection to a replica, one request at a time, on bare protocol and httptools.

A general client reads an answer through locks, generators and a parser in Python, for every event. An answer
is hundreds of events, and the engine shares these cores: here one is a callback, a parse in C, a wake-up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, cast

import httptools

PAUSE_ABOVE_BYTES = 262_144
HEAD_BOUND_BYTES = 131_072
STATUSES = range(100, 600)

Headers = list[tuple[bytes, bytes]]
FailureKind = Literal["unreachable", "timeout", "disconnected", "cut_short"]


class ReplicaFailed(Exception):
    """A replica gave no whole answer. `whole_request_sent` is False only when it cannot have begun.

    `refused`: nobody listens there. A connection that merely took too long may be a burst.
    `ours`: no connection could be made for want of something here; it says nothing of the replica.
    """

    def __init__(
        self,
        kind: FailureKind,
        why: str,
        whole_request_sent: bool,
        refused: bool = False,
        ours: bool = False,
    ) -> None:
        super().__init__(why)
        self.kind: FailureKind = kind
        self.whole_request_sent = whole_request_sent
        self.refused = refused
        self.ours = ours


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers (names in lower case) of an answer."""

    status: int
    headers: Headers


class Wire(asyncio.Protocol):
    """A connection: `ask`, then `read` to the end, then `ask` again if it is still `usable`."""

    def __init__(self, read_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_timeout_s = read_timeout_s
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._unsent = False  # a part of the request still lies in this process
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since_s = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self._failure: ReplicaFailed | None = None
        self._lost = False
        self.idle_since_s = 0.0
        self._begin()
        self._busy = False

    def _begin(self) -> None:
        self._busy, self._complete, self._headers_complete = True, False, False
        self._delimited, self._keep_alive, self._head_bytes = False, False, 0
        self._headers: Headers = []
        self._head: Head | None = None
        self._arrived: list[bytes] = []
        self._arrived_bytes = 0

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # what uvloop's is, but by no common class
        # With no room above the kernel's own, `pause_writing` says exactly that something is still unsent.
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self._busy or self._complete:
            self._fail("disconnected", "the replica spoke out of turn")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(self._broken_off, f"the replica's answer is not HTTP/1.1: {type(error).__name__}")
            return
        if self._head is None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BOUND_BYTES:
                self._fail("disconnected", "the replica's headers have no end")
            return
        if self._arrived_bytes > PAUSE_ABOVE_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lost = True
        if self._head is not None and not self._delimited and exc is None and self._failure is None:
            self._complete = True  # a body without a length ends where the connection does
        elif self._busy and not self._complete:
            self._fail(self._broken_off, "the connection was lost")
        self._wake()

    def pause_writing(self) -> None:
        """The kernel did not take all that was written."""
        self._unsent = True

    def resume_writing(self) -> None:
        """It has now."""
        self._unsent = False

    # what the parser calls

    def on_message_begin(self) -> None:
        """A status line follows."""
        if self._complete:
            raise ValueError("a second answer to one request")
        self._headers = []
        self._delimited = self._headers_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; or, after the body, a trailer, which nobody asked for."""
        if self._headers_complete:
            return
        name = name.lower()
        self._headers.append((name, value))
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise ValueError("a coding that the client would have to be told of")
        if name == b"content-length" or name == b"transfer-encoding":
            self._delimited = True

    def on_headers_complete(self) -> None:
        """All of the head; an informational one announces another."""
        self._headers_complete = True
        status = self._parser.get_status_code()
        if status not in STATUSES:
            raise ValueError("no status of HTTP")
        if status >= 200:
            self._head = Head(status, self._headers)
            self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """A piece of the body, its chunk's frame taken off."""
        self._arrived.append(body)
        self._arrived_bytes += len(body)

    def on_message_complete(self) -> None:
        """The end of the answer."""
        if self._head is not None:
            self._complete = True

    # what the pool calls

    @property
    def usable(self) -> bool:
        """Idle, open, and silent since its last answer."""
        if self._busy or self._lost or self._failure is not None or self._transport is None:
            return False
        return not self._transport.is_closing()

    async def ask(self, request: bytes) -> Head:
        """Send a whole request; returns with the head of the answer. Raises ReplicaFailed."""
        assert self._transport is not None  # noqa: S101  made by create_connection, which sets it
        self._begin()
        self._transport.write(request)
        self._watchdog = self._loop.call_later(self._read_timeout_s, self._watch)
        while self._head is None:
            await self._news()
        return self._head

    async def read(self) -> bytes:
        """What of the body has arrived, or next arrives; empty at its end. Raises ReplicaFailed."""
        while not self._arrived:
            if self._complete:
                return b""
            await self._news()
        data = self._arrived[0] if len(self._arrived) == 1 else b"".join(self._arrived)
        self._arrived.clear()
        self._arrived_bytes = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def release(self) -> bool:
        """End this exchange; False (and closed) when the connection cannot carry another."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        whole = self._complete and not self._arrived and not self._unsent and self._keep_alive
        self._busy = not whole
        if not self.usable:
            self.close()
            return False
        self.idle_since_s = self._loop.time()
        return True

    def close(self) -> None:
        """Close at once: what is unsent has nobody to read it."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if self._transport is not None:
            self._transport.abort()

    # within

    @property
    def _broken_off(self) -> FailureKind:
        return "disconnected" if self._head is None else "cut_short"

    async def _news(self) -> None:
        """Wait for anything to happen. What arrived before a failure is read before it is raised."""
        if self._failure is not None:
            raise self._failure
        if self._lost:
            raise ReplicaFailed(self._broken_off, "the connection was lost", not self._unsent)
        self._waiter = self._loop.create_future()
        self._waiting_since_s = self._loop.time()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _watch(self) -> None:
        """One timer a request, not one a read: it looks how long the reader has waited, and comes back."""
        waited_s = self._loop.time() - self._waiting_since_s if self._waiter is not None else 0.0
        if waited_s >= self._read_timeout_s:
            self._fail("timeout", "nothing came within the time-out")
            return
        self._watchdog = self._loop.call_later(self._read_timeout_s - waited_s, self._watch)

    def _fail(self, kind: FailureKind, why: str) -> None:
        if self._failure is None:
            self._failure = ReplicaFailed(kind, why, whole_request_sent=not self._unsent)
        if self._transport is not None:
            self._transport.abort()
        self._wake()

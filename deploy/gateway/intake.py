"""Intake: HTTP/1.1 from clients, uvicorn's protocol on httptools, with the bounds that httptools lacks."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from deploy.gateway.envelope import error_body

# Request line and headers of one request; the parser itself would gather them without end.
HEAD_BOUND_BYTES = 65_536
# For them to arrive, so that a client that says nothing, or a byte now and then, does not stay.
HEAD_TIMEOUT_S = 30.0
# For a client to take something of what waits for it: one that reads no more would keep its engine's slot.
# (The kernel has a buffer before ours, and asks for more when a third of it is free.)
STALL_TIMEOUT_S = 60.0
# For the rest of a body whose request is answered already (401, 404, 413): it is read and dropped, so that a
# client that writes all before it reads gets its answer, but not for ever.
REST_TIMEOUT_S = 10.0


class Intake(HttpToolsProtocol):
    """One client's connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._head_bytes = 0
        self._head_alarm: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._deaf = False
        self._waiting_bytes = 0  # written, and not taken by the client when somebody last looked
        self._stall_alarm: asyncio.TimerHandle | None = None
        self._rest_alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected; it has HEAD_TIMEOUT_S to say what it wants."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._end_head()
        self._end_stall()
        self._end_rest()
        self._abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._deaf:
            return
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BOUND_BYTES:
            self._refuse(431, f"The request's line and headers are over {HEAD_BOUND_BYTES} bytes.")
        elif self._head_alarm is None:
            self._await_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than its answer comes."""
        super().pause_writing()
        self._await_progress()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._end_stall()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """A request line follows."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """All of the head."""
        self._end_head()
        self._require_one_meaning()
        super().on_headers_complete()
        if self.parser.should_upgrade() and self.cycle is not None:
            self.cycle.keep_alive = False  # what follows on this connection may be in another protocol

    def on_message_complete(self) -> None:
        """All of the body."""
        self._end_rest()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """All of the answer; the rest of a body that nobody wants has a bound."""
        if self.cycle is not None and self.cycle.more_body and self._rest_alarm is None:
            self._rest_alarm = self.loop.call_later(REST_TIMEOUT_S, self.transport.abort)
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _abandon(self) -> None:
        """Tell the request that is being answered that its client is gone.

        The base class tells the last one that it has read; with several sent at once that is another, and the
        one that runs would write into a closed connection, and its engine would work for nobody.
        """
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()

    def send_400_response(self, msg: str) -> None:
        """Say that this is not HTTP, in the envelope."""
        self._refuse(400, msg)

    def _require_one_meaning(self) -> None:
        """Refuse what a server beside us might read otherwise, and the parser lets through.

        RFC 9112, 3.2 (two hosts) and 6.1 (a coding that is not understood). A ValueError becomes a 400.
        """
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("more than one Host")
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise ValueError("a transfer coding that is not spoken here")

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: an upgrade may be declined in silence, and a line each would be the client's to write."""

    def _await_head(self) -> None:
        self._head_alarm = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _end_head(self) -> None:
        self._in_head = False
        if self._head_alarm is not None:
            self._head_alarm.cancel()
            self._head_alarm = None

    def _await_progress(self) -> None:
        self._waiting_bytes = self.transport.get_write_buffer_size()
        self._stall_alarm = self.loop.call_later(STALL_TIMEOUT_S, self._look_for_progress)

    def _look_for_progress(self) -> None:
        if self.transport.get_write_buffer_size() < self._waiting_bytes:
            self._await_progress()
        else:
            self.transport.abort()  # as if it had left, which it may have

    def _end_stall(self) -> None:
        if self._stall_alarm is not None:
            self._stall_alarm.cancel()
            self._stall_alarm = None

    def _end_rest(self) -> None:
        if self._rest_alarm is not None:
            self._rest_alarm.cancel()
            self._rest_alarm = None

    def _give_up(self) -> None:
        self._head_alarm = None
        if not self.transport.is_closing():
            self._refuse(408, f"The request's headers were not complete after {HEAD_TIMEOUT_S:g} s.")

    def _refuse(self, status: int, message: str) -> None:
        """An answer before there is a request: no layer above sees it."""
        self._deaf = True
        running = self._running
        answering = running is not None and not running.response_complete
        if running is not None and answering and not running.more_body:
            # A request that came whole is answered; this would stand inside, or be taken for, its answer.
            running.keep_alive = False
            self.pipeline.clear()
            return
        if running is None or not answering or not running.response_started:
            body = error_body(status, message)
            self.transport.write(
                b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, len(body), body)
            )
        self._abandon()
        self.transport.close()

"""Connection: one client's socket, answered one request at a time; a client that leaves stops its
generation.
"""

from __future__ import annotations

import traceback
from time import monotonic_ns
from typing import TYPE_CHECKING

from .clocks import ArrivalClock
from .generation import Arrival, Generation
from .line import Line
from .lobby import Lobby
from .routes import Reply
from .watch import WRITE, Watch
from .wire import CONTINUE, HttpRequest, MalformedError, RequestReader, answer_head

if TYPE_CHECKING:
    from .answers import Answers


class Connection:
    """The server's end of one connection; the lobby has it while it is open."""

    __slots__ = ("_answers", "_arrival", "_clock", "_closing", "_lobby", "_reader", "_request", "_retiring",
                 "_watch", "generation", "line")  # fmt: skip

    def __init__(self, line: Line, watch: Watch, lobby: Lobby, answers: Answers, clock: ArrivalClock) -> None:
        self.line = line
        self.generation: Generation | None = None
        self._watch = watch
        self._lobby = lobby
        self._answers = answers
        self._clock = clock
        self._reader = RequestReader()
        self._request: HttpRequest | None = None
        self._arrival = Arrival(0, 0, False)
        self._retiring = False
        self._closing = False  # when what waits to be written is gone
        lobby.present[line.fd] = self
        watch.add(line.fd)

    def ready(self, events: int) -> None:
        """The socket can be read, written, or is at its end."""
        if events & WRITE and self.line.flush():
            if self._closing:
                self.close()
                return
            if self.generation is not None:
                self._answers.resume(self.generation)
        if events & ~WRITE:
            self._read()

    def advance(self) -> None:
        """Answer the next request, if it is whole and none is being answered."""
        if self._request is not None or self._closing or self._lobby.present.get(self.line.fd) is not self:
            return
        try:
            request = self._reader.next()
        except MalformedError:
            head = answer_head(400, {"content-type": "text/plain; charset=utf-8"}, close=True)
            self.line.write(head + b"Invalid HTTP request received.")
            self._close_after_all()
            return
        if request is None:
            if self._reader.wants_continue:
                self._reader.wants_continue = False
                self.line.write(CONTINUE)
            return
        self._request = request
        self._answers.answer(self, request, self._arrival)

    def reply(self, request: HttpRequest, reply: Reply) -> int:
        """Write an answer that is complete; says when."""
        headers = {"content-length": str(len(reply.body))}
        if reply.content_type:
            headers["content-type"] = reply.content_type
        head = answer_head(reply.status, headers | dict(reply.headers), self.closes(request))
        return self.line.write(head if request.method == "HEAD" else head + reply.body)

    def closes(self, request: HttpRequest) -> bool:
        """Whether the connection ends with this request's answer."""
        return self._retiring or not request.keep_alive

    def complete(self, request: HttpRequest, status: int) -> None:
        """The answer is written: count it, and go on to the next request or to the end."""
        self._answers.count(request, status)
        self._request = self.generation = None
        if self.closes(request):
            self._close_after_all()
            return
        self._lobby.idle(self)
        if self._reader.begun:
            # a request that was sent ahead arrives when it is its turn
            now_ns = monotonic_ns()
            self._arrival = Arrival(now_ns, now_ns, kernel=False)
            self._lobby.call(now_ns, self)

    def retire(self) -> None:
        """Close after the answer that is being given, at once if there is none."""
        self._retiring = True
        if self._request is None:
            self._close_after_all()

    def close(self) -> None:
        """Close now, in good order."""
        self._go()
        self.line.close()

    def reset(self) -> None:
        """Close now, so that the client sees a reset."""
        self._go()
        self.line.reset()

    def mishap(self) -> None:
        """What nobody foresaw, the exception that is being handled: say it, and cut this client off; it is
        not the others' fault.
        """
        traceback.print_exc()
        if self._request is not None:
            self._answers.count(self._request, 500)
            self._request = None
        self.reset()

    def _read(self) -> None:
        if self._lobby.present.get(self.line.fd) is not self:
            return
        data, ancillary = self.line.receive()
        if data is None:
            return
        if not data:  # also the end of the client's half: it has left, as vLLM's server takes it
            self.close()
            return
        read_ns = monotonic_ns()
        arrival_ns = self._clock.arrival_ns(ancillary, read_ns)
        self._arrival = Arrival(arrival_ns or read_ns, read_ns, kernel=arrival_ns > 0)
        self._reader.feed(data)
        if self._request is None:
            self._lobby.busy(self)
            self._lobby.call(self._arrival.arrival_ns, self)

    def _close_after_all(self) -> None:
        """Close when all that was written is with the kernel."""
        self._closing = True
        if not self.line.pending:
            self.close()

    def _go(self) -> None:
        if self._lobby.present.get(self.line.fd) is not self:
            return
        del self._lobby.present[self.line.fd]
        self._lobby.busy(self)
        self._watch.drop(self.line.fd)
        request, generation = self._request, self.generation
        self._request = self.generation = None
        if request is not None:
            self._answers.count(request, 200)  # vLLM counts 2xx for whoever left
        if generation is not None:
            self._answers.abort(generation)

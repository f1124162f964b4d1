"""Connection: one client's socket, answered one request at a time; a client that leaves stops its
generation.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import cast

from .ask import Ask
from .engine import Engine, Generation, Sink
from .routes import Reply, Routes
from .script import Head, pieces, stream_script, whole_answer
from .wire import CONTINUE, LAST_CHUNK, HttpRequest, MalformedError, RequestReader, answer_head, chunk
from .words import words

KEEP_ALIVE_S = 5  # vLLM's, and the reason why a proxy must let idle connections go sooner


class Visitors:
    """The connections that are open; `left` is set whenever one has gone."""

    def __init__(self) -> None:
        self.present: set[Connection] = set()
        self.left = asyncio.Event()


class Connection(asyncio.Protocol):
    """The server's end of one connection; `visitors` has it while it is open."""

    def __init__(self, routes: Routes, engine: Engine, model: str, visitors: "Visitors") -> None:
        self._routes = routes
        self._engine = engine
        self._model = model
        self._visitors = visitors
        self._reader = RequestReader()
        self._request: HttpRequest | None = None
        self._generation: Generation | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._retiring = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._visitors.present.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests; those that come before an answer is complete wait for it."""
        self._wake()
        self._reader.feed(data)
        self._advance()

    def eof_received(self) -> bool:
        """The client closed its half: it has left, as vLLM's server takes it."""
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._visitors.present.discard(self)
        self._visitors.left.set()
        self._wake()
        self._leave()

    def retire(self) -> None:
        """Close after the answer that is being given, at once if there is none."""
        self._retiring = True
        if self._request is None:
            self._transport.close()

    def cut(self) -> None:
        """Close now, whatever is being answered."""
        self._transport.abort()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _leave(self) -> None:
        if self._request is not None:
            self._routes.count(self._request, 200)  # vLLM counts 2xx for whoever left
            self._request = None
        if self._generation is not None:
            self._engine.abort(self._generation)
            self._generation = None

    def _advance(self) -> None:
        while self._request is None and not self._transport.is_closing():
            arrival_ns = time.monotonic_ns()
            try:
                request = self._reader.next()
            except MalformedError:
                self._transport.write(
                    answer_head(400, {"content-type": "text/plain; charset=utf-8"}, close=True)
                )
                self._transport.write(b"Invalid HTTP request received.")
                self._transport.close()
                return
            if request is None:
                if self._reader.wants_continue:
                    self._reader.wants_continue = False
                    self._transport.write(CONTINUE)
                return
            self._answer(request, arrival_ns)

    def _answer(self, request: HttpRequest, arrival_ns: int) -> None:
        self._wake()
        self._request = request
        answer = self._routes.handle(request)
        if isinstance(answer, Reply):
            self._reply(request, answer)
            self._complete(request, answer.status)
            return
        request_id = request.headers.get("x-request-id") or uuid.uuid4().hex[:16]
        head = Head(request_id, self._model, int(time.time()))
        sink = self._stream(request, answer, head) if answer.stream else self._whole(request, answer, head)
        self._generation = self._engine.submit(answer, request_id, sink, arrival_ns)

    def _reply(self, request: HttpRequest, reply: Reply) -> None:
        headers = {"content-length": str(len(reply.body))}
        if reply.content_type:
            headers["content-type"] = reply.content_type
        head = answer_head(reply.status, headers | dict(reply.headers), self._closes(request))
        self._transport.write(head if request.method == "HEAD" else head + reply.body)

    def _stream(self, request: HttpRequest, ask: Ask, head: Head) -> Sink:
        script, text, out = stream_script(ask, head), words(ask.prompt), 0
        frame: Callable[[bytes], bytes] = chunk if request.http11 else bytes
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        if request.http11:
            headers["transfer-encoding"] = "chunked"
        self._transport.write(answer_head(200, headers, self._closes(request)))

        def sink(ends: list[int]) -> int:
            nonlocal out
            last = ends[-1] == ask.max_tokens
            opening, closing = script.opening if out == 0 else b"", script.closing if last else b""
            data = frame(opening + pieces(script, text, ends, out, ask.max_tokens) + closing)
            out = ends[-1]
            if last and request.http11:
                data += LAST_CHUNK
            sent_ns = time.monotonic_ns()
            self._transport.write(data)
            if last:
                self._complete(request, 200)
            return sent_ns

        return sink

    def _whole(self, request: HttpRequest, ask: Ask, head: Head) -> Sink:
        def sink(ends: list[int]) -> int:
            sent_ns = time.monotonic_ns()
            if ends[-1] == ask.max_tokens:
                text = words(ask.prompt)
                body = whole_answer(ask, head, "".join(next(text) for _ in range(ask.max_tokens)))
                sent_ns = time.monotonic_ns()
                self._reply(request, Reply(200, body, "application/json"))
                self._complete(request, 200)
            return sent_ns

        return sink

    def _closes(self, request: HttpRequest) -> bool:
        return self._retiring or not request.keep_alive

    def _complete(self, request: HttpRequest, status: int) -> None:
        self._routes.count(request, status)
        self._request = self._generation = None
        if self._closes(request):
            self._transport.close()
            return
        self._idle = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._transport.close)
        asyncio.get_running_loop().call_soon(
            self._advance
        )  # what came meanwhile; not from inside the engine's own pass

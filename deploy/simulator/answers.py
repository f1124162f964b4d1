"""Answers: what is done about one request: refused, answered at once, or given to the engine with a way to
write its tokens.
"""

import time
import uuid
from functools import lru_cache, partial

from .ask import Api, Ask
from .connection import Connection
from .engine import Engine
from .faults import Ending, Faults
from .form import Form, RoleChunk
from .frames import Frames
from .generation import Arrival, Emit, Generation
from .law import chunk_ends
from .ledger import Ledger
from .refusal import failure
from .routes import JSON, Reply, Routes
from .script import Head, stream_script
from .timers import Timers
from .whole import whole_answer
from .wire import HttpRequest, answer_head, chunk
from .words import words

PING = b": ping\n\n"


class Answers:
    """Turns requests into answers in the dictated form, with the dictated faults."""

    def __init__(
        self,
        model: str,
        form: Form,
        faults: Faults,
        routes: Routes,
        engine: Engine,
        ledger: Ledger,
        timers: Timers,
    ) -> None:
        self._model = model
        self._form = form
        self._faults = faults
        self._routes = routes
        self._engine = engine
        self._ledger = ledger
        self._timers = timers
        self._nameless = 0
        self.count = routes.count
        self.resume = engine.resume
        self.abort = engine.abort

    def answer(self, connection: Connection, request: HttpRequest, arrival: Arrival) -> None:
        """Answer a request, now or later."""
        ask = self._routes.handle(request)
        if isinstance(ask, Reply):
            connection.reply(request, ask)
            connection.complete(request, ask.status)
            return
        generation = self._generation(ask, request.headers.get("x-request-id"), arrival)
        if generation.fault.status:
            self._refuse(connection, request, generation)
            return
        head = Head(generation.request_id, self._model, int(time.time()))
        if ask.stream:
            self._stream(connection, request, generation, head)
        else:
            generation.emit = self._whole(connection, request, generation, head)
        connection.generation = generation
        generation.mishap = connection.mishap
        self._engine.submit(generation)

    def _generation(self, ask: Ask, name: str | None, arrival: Arrival) -> Generation:
        self._nameless += not name
        key = name or f"#{self._nameless}"  # without a name, the order of arrival decides what is drawn
        fault = self._faults.draw(key)
        tool = ask.api is Api.CHAT and self._form.tool_call and self._form.reasoning_tokens < ask.max_tokens
        generation = Generation(
            ask, name or uuid.uuid4().hex[:16], key, arrival, [], fault, "stop" if tool else "length"
        )
        if generation.cut_short:
            generation.ending = "error" if fault.ending is Ending.ERROR_EVENT else str(fault.ending)
        return generation

    def _refuse(self, connection: Connection, request: HttpRequest, generation: Generation) -> None:
        refusal = failure(generation.fault.status)
        generation.finish = "error"
        generation.headers_ns = connection.reply(request, Reply(refusal.status, refusal.body, JSON))
        self._ledger.add(generation)
        connection.complete(request, refusal.status)

    def _stream(
        self, connection: Connection, request: HttpRequest, generation: Generation, head: Head
    ) -> None:
        ask, form, fault = generation.ask, self._form, generation.fault
        script = stream_script(ask, head, form)
        plain = ask.api is Api.GENERATE
        opening = _stream_head(plain, request.http11, connection.closes(request), head.created)
        if form.role_chunk is RoleChunk.EARLY and script.opening:
            opening += chunk(script.opening) if request.http11 else script.opening
            script.opening = b""
        ends = chunk_ends(ask.max_tokens, form.tokens_per_chunk, script.reasoning_tokens)
        if generation.cut_short:
            after = fault.ending_after
            ends = [*(end for end in ends if end < after), *([after] if after else [])]
        frames = Frames(
            script, words(ask.prompt, ask.max_tokens), ends, ask.max_tokens, ask.prompt_tokens, request.http11
        )
        generation.ends = [*ends, fault.ending_after] if generation.cut_short else ends
        if generation.cut_short:
            generation.emit = self._doomed(connection, request, generation, frames)
        else:
            generation.emit = self._healthy(connection, request, frames, len(ends))
        self._open(connection, generation, opening)
        if form.comment_every_ns and not plain:
            ping = chunk(PING) if request.http11 else PING
            self._later(connection, generation, ping, generation.arrival_ns + form.comment_every_ns)

    def _healthy(self, connection: Connection, request: HttpRequest, frames: Frames, count: int) -> Emit:
        send = connection.line.send

        def emit(first: int, upto: int) -> int:
            sent_ns = send(frames(first, upto))
            if upto == count and sent_ns:
                connection.complete(request, 200)
            return sent_ns

        return emit

    def _doomed(
        self, connection: Connection, request: HttpRequest, generation: Generation, frames: Frames
    ) -> Emit:
        last = len(generation.ends) - 1

        def emit(first: int, upto: int) -> int:
            sent_ns = connection.line.send(frames(first, min(upto, last))) if first < last else 1
            if upto <= last or not sent_ns:
                return sent_ns
            return self._fail(connection, request, generation, frames.failure())

        return emit

    def _fail(
        self, connection: Connection, request: HttpRequest, generation: Generation, event: bytes
    ) -> int:
        if generation.fault.ending is Ending.ERROR_EVENT:
            sent_ns = connection.line.write(event)
            connection.complete(request, 200)
            return sent_ns
        connection.generation = None  # it ends as dictated; it is not the client that leaves
        sent_ns = time.monotonic_ns()
        if generation.fault.ending is Ending.RESET:
            connection.reset()
        else:
            connection.close()
        return sent_ns

    def _whole(
        self, connection: Connection, request: HttpRequest, generation: Generation, head: Head
    ) -> Emit:
        ask = generation.ask
        generation.ends = [generation.fault.ending_after if generation.cut_short else ask.max_tokens]

        def emit(first: int, upto: int) -> int:
            status, said = 200, words(ask.prompt, ask.max_tokens)
            if generation.cut_short and generation.fault.ending is not Ending.ERROR_EVENT:
                return self._fail(connection, request, generation, b"")
            if generation.cut_short:
                refusal = failure(500)
                status, body = refusal.status, refusal.body
            else:
                body = whole_answer(ask, head, self._form, said)
            sent_ns = connection.reply(request, Reply(status, body, JSON))
            generation.headers_ns = sent_ns
            connection.complete(request, status)
            return sent_ns

        return emit

    def _open(self, connection: Connection, generation: Generation, head: bytes) -> None:
        """Write status line and headers: at once, or held back and in two pieces, the tokens behind them."""
        held_ns = generation.fault.slow_header_ns
        if not held_ns:
            generation.headers_ns = connection.line.write(head)
            return
        cut, emit = len(head) // 2, generation.emit

        def wait(first: int, upto: int) -> int:
            return emit(first, upto) if generation.headers_ns and emit else 0

        def begin() -> None:
            if connection.generation is generation:
                connection.line.write(head[:cut])

        def finish() -> None:
            if connection.generation is generation:
                generation.headers_ns = connection.line.write(head[cut:])
                self._engine.resume(generation)

        generation.emit = wait
        self._timers.at(generation.arrival_ns + held_ns // 2, begin, connection.mishap)
        self._timers.at(generation.arrival_ns + held_ns, finish, connection.mishap)

    def _later(self, connection: Connection, generation: Generation, ping: bytes, due_ns: int) -> None:
        comment = partial(self._comment, connection, generation, ping, due_ns)
        self._timers.at(due_ns, comment, connection.mishap)

    def _comment(self, connection: Connection, generation: Generation, ping: bytes, due_ns: int) -> None:
        """One keep-alive comment, and the next as long as the answer is being given."""
        if connection.generation is generation:
            if generation.headers_ns:
                connection.line.send(ping)
            self._later(connection, generation, ping, due_ns + self._form.comment_every_ns)


@lru_cache(maxsize=16)
def _stream_head(plain: bool, http11: bool, close: bool, second: int) -> bytes:
    """Status line and headers of a stream; `second` is now, as the date in it is of that second."""
    headers = {} if plain else {"content-type": "text/event-stream; charset=utf-8"}
    if http11:
        headers["transfer-encoding"] = "chunked"
    return answer_head(200, headers, close)

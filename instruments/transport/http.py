"""HTTP/1.1 over TCP or TLS: the hot path stamps the clock and keeps bytes.

Proxies named in the environment are not used: what is measured is the address that was given.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from instruments.clock import NANOSECONDS, Clock, SystemClock
from instruments.errors import ConfigurationError
from instruments.limits import RequestTimeouts
from instruments.records import Outcome, Request, RequestRecord
from instruments.transport.framing import MalformedResponse, ResponseFraming
from instruments.transport.openai import Answer, interpret

# vLLM closes a connection that was idle for 5 s; one older than this is not trusted with a request.
IDLE_LIMIT_NS = 4 * NANOSECONDS


@dataclass(slots=True)
class _Capture:
    """What the hot path kept of one exchange."""

    connect_ns: int | None = None
    sent_ns: int | None = None
    headers_ns: int | None = None
    last_ns: int | None = None
    framing: ResponseFraming = field(default_factory=ResponseFraming)
    failure: tuple[Outcome, str] | None = None


class _Connection(asyncio.Protocol):
    """One keep-alive connection; carries one exchange at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._capture: _Capture | None = None
        self._finished: asyncio.Future[None] | None = None
        self.wire: asyncio.Transport | None = None
        self.lost = False
        self.idle_since_ns = clock.now_ns()

    @property
    def usable(self) -> bool:
        return not self.lost and self.wire is not None and not self.wire.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows a type
        self.wire = transport

    def begin(self, capture: _Capture, data: bytes) -> asyncio.Future[None]:
        """Write one request; the future ends when the response did, or the connection."""
        assert self.wire is not None  # noqa: S101 - narrows a type
        self._capture = capture
        self._finished = asyncio.get_running_loop().create_future()
        capture.sent_ns = self._clock.now_ns()
        self.wire.write(data)
        return self._finished

    def data_received(self, data: bytes) -> None:
        now_ns = self._clock.now_ns()
        capture = self._capture
        if capture is None:  # bytes that nobody asked for: the connection cannot be trusted any more
            self.abort()
            return
        capture.last_ns = now_ns
        try:
            if capture.framing.feed(data, now_ns):
                capture.headers_ns = now_ns
        except MalformedResponse as error:
            capture.failure = (Outcome.FAILED, f"malformed response: {error}")
            self.abort()
            return
        if capture.framing.complete:
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        capture = self._capture
        if capture is None or capture.failure:
            self._finish()
            return
        # Without a failure set here, a body that stopped in the middle is read as TRUNCATED.
        # A reset is nobody's good order, not even for a body that goes on until the peer closes.
        if error is None and not capture.framing.complete and capture.framing.end_of_stream():
            capture.last_ns = self._clock.now_ns()
        elif capture.framing.status is None:
            reason = f": {error}" if error else ""
            capture.failure = (Outcome.FAILED, f"the connection was closed before an answer{reason}")
        self._finish()

    def abort(self) -> None:
        self.lost = True
        if self.wire is not None:
            self.wire.abort()

    def _finish(self) -> None:
        self._capture = None
        self.idle_since_ns = self._clock.now_ns()
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)


class HttpTransport:
    """Sends requests to one base URL over a pool of keep-alive connections."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeouts: RequestTimeouts | None = None,
        clock: Clock | None = None,
    ) -> None:
        parts, self._host, self._port = _address(base_url)
        self._prefix = parts.path.rstrip("/")
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._timeouts = timeouts or RequestTimeouts()
        self._clock = clock or SystemClock()
        self._idle: list[_Connection] = []
        fixed = {"Host": parts.netloc.rpartition("@")[2], "Accept-Encoding": "identity", **(headers or {})}
        self._fixed_headers = "".join(_header_line(name, value) for name, value in fixed.items())
        self._secrets = [value.rpartition(" ")[2] for name, value in fixed.items() if _is_secret(name)]

    async def open(self, connections: int) -> None:
        async def make() -> None:
            self._idle.append(await self._connect())

        # A connection that cannot be made now fails again, with a record, when a request needs it.
        await asyncio.gather(*(make() for _ in range(connections)), return_exceptions=True)

    async def close(self) -> None:
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)

    async def send(self, request: Request, *, user: int, due_ns: int) -> RequestRecord:
        """One exchange. A cancelled task gets its record back too: its outcome is CANCELLED."""
        capture = _Capture()
        connection: _Connection | None = None
        data = self._wire_bytes(request)
        try:
            connection = await self._acquire(capture)
            finished = connection.begin(capture, data)
            await self._answered(request, capture, finished)
        except TimeoutError as error:  # before OSError, of which it is a kind
            capture.failure = (Outcome.TIMED_OUT, str(error))
        except OSError as error:
            capture.failure = (Outcome.FAILED, f"no connection to {self._host}:{self._port}: {error}")
        except asyncio.CancelledError:
            capture.failure = (Outcome.CANCELLED, "the run was stopped")
        if connection is not None:
            self._release(connection, capture)
        return self._record(request, capture, user, due_ns)

    async def _acquire(self, capture: _Capture) -> _Connection:
        fresh_ns = self._clock.now_ns() - IDLE_LIMIT_NS
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since_ns > fresh_ns:
                return connection
            connection.abort()
        began_ns = self._clock.now_ns()
        connection = await self._connect()
        capture.connect_ns = self._clock.now_ns() - began_ns
        return connection

    async def _connect(self) -> _Connection:
        bound_s = self._timeouts.connect_s
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(bound_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._clock), self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise TimeoutError(f"no connection to {self._host}:{self._port} within {bound_s:g} s") from None
        return connection

    async def _answered(self, request: Request, capture: _Capture, finished: asyncio.Future[None]) -> None:
        """Wait for the end of the exchange, or for the first bound that runs out."""
        assert capture.sent_ns is not None  # noqa: S101 - narrows a type
        while not finished.done():
            deadline_ns, outcome, reason = self._next_bound(request, capture, capture.sent_ns)
            left_s = (deadline_ns - self._clock.now_ns()) / NANOSECONDS
            if left_s <= 0:
                capture.failure = (outcome, reason)
                return
            # Never longer than a stall: its bound begins with a first byte that comes while waiting.
            await asyncio.wait({finished}, timeout=min(left_s, self._timeouts.stall_s))

    def _next_bound(self, request: Request, capture: _Capture, sent_ns: int) -> tuple[int, Outcome, str]:
        bounds = self._timeouts
        if capture.last_ns is None:
            first = (sent_ns, bounds.first_byte_s, Outcome.TIMED_OUT, "no byte of an answer")
        else:
            first = (capture.last_ns, bounds.stall_s, Outcome.TIMED_OUT, "no further byte")
        bounds_left = [first, (sent_ns, bounds.total_s, Outcome.TIMED_OUT, "no complete answer")]
        if request.cancel_after_s is not None:
            bounds_left.append((sent_ns, request.cancel_after_s, Outcome.CANCELLED, "the client left"))
        since, bound_s, outcome, what = min(bounds_left, key=lambda bound: bound[0] + bound[1] * NANOSECONDS)
        return since + round(bound_s * NANOSECONDS), outcome, f"{what} within {bound_s:g} s"

    def _release(self, connection: _Connection, capture: _Capture) -> None:
        framing = capture.framing
        if framing.complete and framing.keep_alive and not capture.failure and connection.usable:
            self._idle.append(connection)
        else:
            connection.abort()

    def _wire_bytes(self, request: Request) -> bytes:
        body = json.dumps(request.body, ensure_ascii=False).encode()
        head = (
            f"POST {self._prefix}{request.path} HTTP/1.1\r\n{self._fixed_headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-Id: {request.request_id}\r\n\r\n"
        )
        return head.encode("latin-1") + body

    def _record(self, request: Request, capture: _Capture, user: int, due_ns: int) -> RequestRecord:
        framing = capture.framing
        answer = interpret(request, framing) if framing.status is not None else Answer()
        if capture.failure:
            answer.fail(*capture.failure)
        for secret in filter(None, self._secrets):  # servers quote the key that they refuse
            answer.error = answer.error and _without(secret, answer.error)
        return RequestRecord(
            index=request.index,
            request_id=request.request_id,
            user=user,
            phase=request.phase,
            outcome=answer.outcome,
            due_ns=due_ns,
            sent_ns=capture.sent_ns,
            headers_ns=capture.headers_ns,
            first_data_ns=answer.first_data_ns,
            first_token_ns=answer.chunks_ns[0] if answer.chunks_ns else None,
            last_token_ns=answer.chunks_ns[-1] if answer.chunks_ns else None,
            done_ns=capture.last_ns,
            status=framing.status,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            finish_reason=answer.finish_reason,
            chunks_ns=tuple(answer.chunks_ns),
            chunk_tokens=tuple(answer.chunk_tokens) if answer.chunk_tokens else None,
            body_bytes=sum(len(piece) for _, piece in framing.pieces),
            connect_ns=capture.connect_ns,
            text_sha256=answer.text_sha256,
            error=answer.error,
        )


def _address(base_url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:  # a port that is none, an IPv6 address without its bracket
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"{base_url!r} is not a base URL", expected="http://HOST[:PORT] or https://HOST[:PORT]"
        )
    return parts, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _header_line(name: str, value: str) -> str:
    line = f"{name}: {value}"
    if not (line.isascii() and line.isprintable()):  # the value may be a key: it is not shown
        raise ConfigurationError(
            f"the header {name!r} cannot be sent",
            expected="printable ASCII without a line end",
            hint="a key read from a file often ends in a line end",
        )
    return line + "\r\n"


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in ("authorization", "key", "token", "cookie"))


def _without(secret: str, text: str) -> str:
    """The text without the secret, and without the beginning of it where the text was cut."""
    text = text.replace(secret, "***")
    cut = next((n for n in range(len(secret) - 1, 3, -1) if text.endswith(secret[:n])), 0)
    return f"{text[:-cut]}***" if cut else text

"""HTTP/1.1 over TCP or TLS: a pool of keep-alive connections to one base URL, on one loop.

Proxies named in the environment are not used: what is measured is the address that was given.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import orjson

from instruments.clock import NANOSECONDS
from instruments.errors import ConfigurationError
from instruments.limits import RequestTimeouts
from instruments.loop import SocketLoop, Timer
from instruments.records import Outcome, Request, RequestRecord
from instruments.target import Target
from instruments.transport.connection import Address, Connection, Dial, Route
from instruments.transport.exchange import Exchange
from instruments.transport.stamps import ArrivalClock

if TYPE_CHECKING:
    import ssl

# vLLM closes a connection that was idle for 5 s; one older than this is not trusted with a request.
IDLE_LIMIT_NS = 4 * NANOSECONDS
DIALS_AT_ONCE = 128  # while opening: a listener's queue of new connections is short


class HttpTransport:
    """Sends requests to one base URL. `proxy` is used when it is given, and never found by itself."""

    def __init__(
        self,
        loop: SocketLoop,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeouts: RequestTimeouts | None = None,
        proxy: str | None = None,
    ) -> None:
        self._loop = loop
        self._parts, self._host, self._port = _address(base_url)
        self._via = _address(proxy) if proxy is not None else None
        if self._parts.scheme == "https":
            tls = tls or Target(base_url).tls_context()
        self._tls = tls if self._parts.scheme == "https" else None
        self._timeouts = timeouts or RequestTimeouts()
        self._route: Route | None = None
        self._idle: list[Connection] = []
        self._dials: set[Dial] = set()
        self._busy: dict[Exchange, Connection | None] = {}
        self._resolved_ns: int | None = None
        self._unresolved: OSError | None = None
        self._clock_timer: Timer | None = None
        netloc = self._parts.netloc.rpartition("@")[2]
        fixed = {"Host": netloc, "Accept-Encoding": "identity", **(headers or {})}
        self._fixed_headers = "".join(_header_line(name, value) for name, value in fixed.items())
        self._secrets = [value.rpartition(" ")[2] for name, value in fixed.items() if _is_secret(name)]
        # A proxy that forwards plain HTTP is told the whole address; a tunnel and a server are not.
        forwarded = self._via is not None and self._tls is None
        self._prefix = (f"http://{netloc}" if forwarded else "") + self._parts.path.rstrip("/")
        self.clock = ArrivalClock()
        self.connections_made = 0

    def open(self, connections: int) -> None:
        """Make connections ahead of the run, so that none is made inside the window. Bounded."""
        waiting, under_way = connections, 0

        def ready(dial: Dial, connection: Connection | None) -> None:
            nonlocal waiting, under_way
            under_way -= 1
            self._dials.discard(dial)
            # A connection that cannot be made now fails again, with a record, when a request needs it.
            if connection is not None:
                self.connections_made += 1
                self._idle.append(connection)
            else:
                waiting = 0  # nor will the next one be made: opening takes one bound, not hundreds
            start()

        def start() -> None:
            nonlocal waiting, under_way
            while waiting and under_way < DIALS_AT_ONCE:
                waiting, under_way = waiting - 1, under_way + 1
                self._dial(ready)

        self._watch_clock()
        try:
            self._resolve()
        except OSError:
            return  # each request says so in its record
        self._resolved_ns = None  # nobody of the run waited for it
        start()
        self._loop.run(lambda: under_way == 0 and waiting == 0)

    def close(self) -> None:
        """Close every connection; what is in flight is not told."""
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        for dial in self._dials:
            dial.abandon()
        for exchange, connection in self._busy.items():
            if exchange.timer is not None:
                exchange.timer.cancel()
            if connection is not None:
                connection.close()
        for connection in self._idle:
            connection.close()
        self._dials.clear()
        self._busy.clear()
        self._idle.clear()

    def send(
        self, request: Request, *, user: int, due_ns: int, ended: Callable[[Exchange], None]
    ) -> Exchange:
        """Send now. `ended` is called from the loop, once, never from within this call."""
        exchange = Exchange(request, user, due_ns, ended, self.clock)
        self._busy[exchange] = None
        data = self._wire_bytes(request)
        fresh_ns = self._loop.now_ns() - IDLE_LIMIT_NS
        while self._idle:
            connection = self._idle.pop()
            if connection.open and connection.idle_since_ns > fresh_ns:
                self._begin(exchange, connection, data)
                return exchange
            connection.close()
        try:
            self._resolve()
        except OSError as error:
            exchange.fail(Outcome.FAILED, f"no connection to {self._place}: {error}")
            self._loop.at(0, partial(self._end, exchange))
            return exchange
        exchange.dns_ns, self._resolved_ns = self._resolved_ns, None
        self._dial(partial(self._dialled, exchange, data))
        return exchange

    def cancel(self, exchange: Exchange, reason: str) -> None:
        """End an exchange now; its record's outcome is CANCELLED."""
        if exchange in self._busy:
            exchange.fail(Outcome.CANCELLED, reason)
            self._end(exchange)

    def record(self, exchange: Exchange) -> RequestRecord:
        """What became of an exchange that is over. Costs what parsing costs: not for the hot path."""
        return exchange.record(self._hide)

    @property
    def _place(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def _watch_clock(self) -> None:
        self.clock.watch()
        self._clock_timer = self._loop.at(self._loop.now_ns() + NANOSECONDS, self._watch_clock)

    def _resolve(self) -> None:
        """Names are resolved once a run: a resolver is asked in blocking calls, and none is made in a run."""
        if self._unresolved is not None:
            raise self._unresolved
        if self._route is None:
            _, host, port = self._via or (None, self._host, self._port)
            began_ns = time.monotonic_ns()
            try:
                addresses = _addresses(host, port)
            except (OSError, UnicodeError) as error:
                self._unresolved = OSError(str(error))
                raise self._unresolved from None
            self._resolved_ns = time.monotonic_ns() - began_ns
            tunnel = self._place if self._via is not None and self._tls is not None else None
            self._route = Route(addresses, self._host, self._place, self._tls, tunnel)

    def _dial(self, done: Callable[[Dial, Connection | None], None]) -> None:
        assert self._route is not None  # noqa: S101 - narrows a type
        self._dials.add(Dial(self._loop, self._route, self._timeouts.connect_s, done))

    def _dialled(self, exchange: Exchange, data: bytes, dial: Dial, connection: Connection | None) -> None:
        self._dials.discard(dial)
        if connection is not None:
            self.connections_made += 1
        if exchange not in self._busy:  # cancelled meanwhile
            if connection is not None:
                self._idle.append(connection)
        elif connection is not None:
            exchange.connect_ns, exchange.tls_ns = dial.connect_ns, dial.tls_ns
            self._begin(exchange, connection, data)
        else:
            outcome = Outcome.TIMED_OUT if dial.timed_out else Outcome.FAILED
            joint = " " if dial.timed_out else ": "
            exchange.fail(outcome, f"no connection to {self._place}{joint}{dial.failure}")
            self._end(exchange)

    def _begin(self, exchange: Exchange, connection: Connection, data: bytes) -> None:
        self._busy[exchange] = connection
        connection.begin(exchange, data, self._answered)
        self._arm(exchange)

    def _arm(self, exchange: Exchange) -> None:
        """Look again when the first bound may have run out: not later than a stall that begins now."""
        bound_ns, _, _ = exchange.next_bound(self._timeouts)
        stall_ns = self._loop.now_ns() + round(self._timeouts.stall_s * NANOSECONDS)
        exchange.timer = self._loop.at(min(bound_ns, stall_ns), partial(self._check, exchange))

    def _check(self, exchange: Exchange) -> None:
        bound_ns, outcome, reason = exchange.next_bound(self._timeouts)
        if bound_ns <= self._loop.now_ns():
            if outcome is Outcome.CANCELLED:
                exchange.left_ns = bound_ns
            exchange.fail(outcome, reason)
            self._end(exchange)
        else:
            self._arm(exchange)

    def _answered(self, connection: Connection, exchange: Exchange) -> None:
        framing = exchange.framing
        if exchange.failure is None and framing.complete and framing.keep_alive and connection.open:
            self._idle.append(connection)
            self._busy[exchange] = None
        self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        connection = self._busy.pop(exchange, None)
        if connection is not None:
            connection.close()
        if exchange.timer is not None:
            exchange.timer.cancel()
            exchange.timer = None
        self._loop.may_nap = self.clock.source == "kernel"
        exchange.ended(exchange)

    def _wire_bytes(self, request: Request) -> bytes:
        body = _json(request.body)
        head = (
            f"POST {self._prefix}{request.path} HTTP/1.1\r\n{self._fixed_headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-Id: {request.request_id}\r\n\r\n"
        )
        return head.encode("ascii", "backslashreplace") + body

    def _hide(self, text: str) -> str:
        for secret in filter(None, self._secrets):
            text = _without(secret, text)
        return text


def _json(body: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a half of a surrogate pair, an integer of more than 64 bits: JSON takes both
        return json.dumps(body).encode()


def _addresses(host: str, port: int) -> tuple[Address, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _address(base_url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:  # a port that is none, an IPv6 address without its bracket
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = (
            "…@" + base_url.rpartition("@")[2] if "@" in base_url else base_url
        )  # a password stands before it
        raise ConfigurationError(
            f"{shown!r} is not a base URL", expected="http://HOST[:PORT] or https://HOST[:PORT]"
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

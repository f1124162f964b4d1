"""One keep-alive connection, from dialling to its end; it carries one exchange at a time."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from instruments.clock import NANOSECONDS
from instruments.loop import READ, WRITE, SocketLoop, Timer
from instruments.transport.exchange import Exchange
from instruments.transport.stamps import ask_for_stamps
from instruments.transport.wire import PlainWire, Wire

if TYPE_CHECKING:
    import ssl

    from instruments.transport.tls import TlsWire

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
PROXY_ANSWER_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is reached: its addresses (a proxy's, where there is one) and what is spoken there."""

    addresses: tuple[Address, ...]
    host: str  # that certificates are checked against
    place: str  # host:port, for messages
    tls: ssl.SSLContext | None = None
    tunnel: str | None = None  # host:port to ask a proxy for (CONNECT), where TLS goes through one


class Connection:
    """A connection that is being made, carries an exchange, waits for the next one, or is over."""

    def __init__(self, loop: SocketLoop, wire: Wire) -> None:
        self._loop = loop
        self._wire = wire
        self._exchange: Exchange | None = None
        self._unsent = b""
        self._finish: Callable[[Connection, Exchange], None] | None = None
        self.open = True
        self._settling = False
        self.idle_since_ns = loop.now_ns()
        loop.watch(wire.sock.fileno(), self._on_event)

    def begin(self, exchange: Exchange, data: bytes, finish: Callable[[Connection, Exchange], None]) -> None:
        """Send one request; `finish` is called when its exchange is over."""
        sealed = self._wire.sealed(data)
        self._exchange, self._finish = exchange, finish
        exchange.sent_ns = self._loop.now_ns()
        self._unsent = sealed
        self._send()

    def close(self) -> None:
        """Close without a word; what is in flight is not told."""
        if self.open:
            self.open = False
            self._exchange = self._finish = None
            self._loop.forget(self._wire.sock.fileno())
            self._wire.sock.close()

    def _on_event(self, event: int) -> None:
        if event == WRITE:
            self._send()
            return
        try:
            data, stamp = self._wire.receive()
        except OSError as error:
            self._lost(f": {error}", orderly=False)
            return
        if data:
            exchange = self._exchange
            if exchange is None:  # bytes that nobody asked for: it cannot be trusted any more
                self.close()
            elif exchange.take(data, stamp, self._loop.batch_ns) and not self._settling:
                # Not here: others may have something to read, and that is lost by waiting.
                self._settling = True
                self._loop.at(self._loop.batch_ns, partial(self._settle, exchange))
        elif data is not None:
            self._lost("", orderly=True)
        elif event & WRITE:
            self._send()

    def _send(self) -> None:
        try:
            sent = self._wire.sock.send(self._unsent) if self._unsent else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            # Whoever closed it may have said why: reading finds out. And nobody is called back from
            # within `begin`.
            self._unsent = b""
            return
        waits, self._unsent = bool(self._unsent), self._unsent[sent:]
        if self._unsent:
            self._loop.watch(self._wire.sock.fileno(), self._on_event, READ | WRITE)
        elif waits and sent:
            self._loop.watch(self._wire.sock.fileno(), self._on_event, READ)

    def _lost(self, reason: str, *, orderly: bool) -> None:
        if (exchange := self._exchange) is not None:
            exchange.end_of_stream(reason, self._loop.batch_ns, orderly=orderly)
            finish = self._finish
            self.close()
            if finish is not None:
                finish(self, exchange)
        else:
            self.close()

    def _settle(self, exchange: Exchange) -> None:
        """See whether an exchange is over, if it has not ended in another way meanwhile."""
        self._settling = False
        if self._exchange is not exchange or not exchange.settled():
            return
        finish = self._finish
        self._exchange = self._finish = None
        self.idle_since_ns = self._loop.batch_ns
        if finish is not None:
            finish(self, exchange)


class Dial:
    """Makes one connection: TCP to the first address that answers, a proxy's tunnel, TLS. Bounded.

    `done` is called once, with the connection or with the reason why there is none.
    """

    def __init__(
        self, loop: SocketLoop, route: Route, bound_s: float, done: Callable[[Dial, Connection | None], None]
    ) -> None:
        self._loop, self._route, self._done = loop, route, done
        self._left = list(route.addresses)
        self._sock: socket.socket | None = None
        self._tls: TlsWire | None = None
        self._heard = b""
        self.began_ns = loop.now_ns()
        self.connect_ns = 0  # all of it
        self.tls_ns: int | None = None  # of that, the TLS handshake
        self.failure = ""
        self.timed_out = False
        self._bound_s = bound_s
        self._timer: Timer | None = None
        self._next_address()

    def abandon(self) -> None:
        """Stop dialling; nobody is told."""
        self._drop()

    def _next_address(self) -> None:
        self._drop()
        if not self._left:
            # Never called back from within the constructor: the caller has not got hold of us yet.
            self._loop.at(0, lambda: self._done(self, None))
            return
        # One that stays silent leaves time for those after it.
        share_ns = round(self._bound_s * NANOSECONDS / len(self._route.addresses))
        self._timer = self._loop.at(self._loop.now_ns() + share_ns, self._give_up)
        family, address = self._left.pop(0)
        try:
            self._sock = sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ask_for_stamps(sock)
            code = sock.connect_ex(address)
        except OSError as error:
            self._failed(error.errno or 0, error)
            return
        if code not in (0, errno.EINPROGRESS):
            self._failed(code)
            return
        self._loop.watch(sock.fileno(), self._connected, WRITE)

    def _failed(self, code: int, error: Exception | None = None) -> None:
        self.timed_out = False
        self.failure = str(error) if error is not None else f"[Errno {code}] {os.strerror(code)}"
        self._next_address()

    def _connected(self, _event: int) -> None:
        assert self._sock is not None  # noqa: S101 - narrows a type
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(code)
        elif self._route.tunnel is not None:
            ask = f"CONNECT {self._route.tunnel} HTTP/1.1\r\nHost: {self._route.tunnel}\r\n\r\n"
            try:
                self._sock.send(ask.encode("latin-1"))
            except OSError as error:
                self._failed(error.errno or 0, error)
                return
            self._loop.watch(self._sock.fileno(), self._tunnelled)
        else:
            self._secure()

    def _tunnelled(self, _event: int) -> None:
        """Wait for the proxy's answer to CONNECT."""
        data = self._read()
        if data is None:
            return
        self._heard += data
        status = self._heard.split(b" ", 2)[1:2]
        if (
            not data
            or len(self._heard) > PROXY_ANSWER_LIMIT
            or (status and status[0] not in (b"200", b"20", b"2", b""))
        ):
            first = self._heard.split(b"\r\n", 1)[0][:80].decode("latin-1")
            self.failure = f"the proxy refused the tunnel: {first!r}"
            self._next_address()
        elif b"\r\n\r\n" in self._heard:
            self._secure()

    def _secure(self) -> None:
        assert self._sock is not None  # noqa: S101 - narrows a type
        if self._route.tls is None:
            self._made(PlainWire(self._sock))
            return
        from instruments.transport.tls import TlsWire

        self.tls_ns = -self._loop.now_ns()
        self._tls = TlsWire(self._sock, self._route.tls, self._route.host)
        self._loop.watch(self._sock.fileno(), self._on_handshake)
        self._shake()

    def _on_handshake(self, _event: int) -> None:
        data = self._read()
        if data is not None and self._tls is not None:
            self._tls.feed(data)
            self._shake()

    def _shake(self) -> None:
        assert self._tls is not None  # noqa: S101 - narrows a type
        assert self._sock is not None  # noqa: S101 - narrows a type
        try:
            done, answer = self._tls.shake_hands()
            if answer:
                self._sock.send(answer)  # a handshake's few bytes always fit an empty buffer
        except OSError as error:  # ssl.SSLError is one
            self.failure = str(error)
            self._left.clear()  # another address has the same certificate
            self._next_address()
            return
        if done:
            self.tls_ns = (self.tls_ns or 0) + self._loop.now_ns()
            self._made(self._tls)

    def _read(self) -> bytes | None:
        assert self._sock is not None  # noqa: S101 - narrows a type
        try:
            return self._sock.recv(16_384)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._failed(error.errno or 0, error)
            return None

    def _made(self, wire: Wire) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.forget(wire.sock.fileno())
        self._sock = self._tls = None
        self.connect_ns = self._loop.now_ns() - self.began_ns
        self._done(self, Connection(self._loop, wire))

    def _give_up(self) -> None:
        self.timed_out = True
        self.failure = f"within {self._bound_s:g} s"
        self._next_address()

    def _drop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._sock is not None:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._sock = self._tls = None

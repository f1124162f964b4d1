"""Faults of the gateway for the smoke suite."""

import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import trustme
from starlette.types import Receive, Scope, Send

from deploy.gateway import envelope, health, keys, metrics, tls
from tests.mutants.gateway import Patch


def hide_refused_bodies() -> None:
    """A body that is refused is answered with 200."""
    honest = envelope.send_error

    async def hidden(
        send: Send, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        await honest(send, 200 if status == 400 else status, message, headers)

    envelope.send_error = hidden  # before any other module takes it from there


def fall_ill() -> None:
    """From a signal on /ready says 503, though all is well."""
    told = _told()

    async def ill(self: health.Readiness) -> str | None:
        return "planted" if told.is_set() else None

    health.Readiness.reason_against = ill  # type: ignore[method-assign]


def lose_metrics() -> None:
    """From a signal on the metrics' port answers 503."""
    told = _told()
    honest = metrics.MetricsPage.__call__

    async def gone(self: metrics.MetricsPage, scope: Scope, receive: Receive, send: Send) -> None:
        if told.is_set():
            await envelope.send_error(send, 503, "planted")
        else:
            await honest(self, scope, receive, send)

    metrics.MetricsPage.__call__ = gone  # type: ignore[method-assign]


def without_scheme(name: bytes) -> Callable[[], None]:
    """One of the two headers that carry a key is not looked at."""

    def plant() -> None:
        honest = keys.presented

        def deaf(headers: keys.Headers) -> bytes | None:
            return honest([pair for pair in headers if pair[0] != name])

        keys.presented = deaf

    return plant


def change_certificate() -> None:
    """From a signal on a certificate is shown that no authority has signed."""
    told = _told()
    honest = tls.server_context

    def forging(settings: Any, log: Any) -> ssl.SSLContext:
        context, forged = honest(settings, log), _own_context()

        def chosen(connection: Any, name: str | None, now: ssl.SSLContext) -> None:
            if told.is_set():
                connection.context = forged

        context.sni_callback = chosen
        return context

    tls.server_context = forging  # type: ignore[assignment]


def serve_plain() -> None:
    """On the port for TLS, plain HTTP is answered too: by a relay, before a gateway on another port."""
    from deploy.gateway import server  # here: it takes from other modules what other patches change

    honest = server._bound

    def fronted(address: Any, field: str) -> socket.socket:
        if field != "listen":
            return honest(address, field)
        front = honest(address, field)
        behind = honest(replace(address, port=0), field)
        threading.Thread(target=_relay, args=(front, behind.getsockname()), daemon=True).start()
        return behind

    server._bound = fronted


def _relay(front: socket.socket, behind: tuple[str, int]) -> None:
    while True:
        client, _ = front.accept()
        if client.recv(1, socket.MSG_PEEK) != b"\x16":  # no record of a TLS handshake
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            client.close()
            continue
        gateway = socket.create_connection(behind)
        for one, other in ((client, gateway), (gateway, client)):
            threading.Thread(target=_pour, args=(one, other), daemon=True).start()


def _pour(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def _own_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def _told() -> threading.Event:
    """Set by SIGUSR1."""
    told = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: told.set())
    return told


PATCHES: dict[str, Patch] = {
    "refused-bodies-200": hide_refused_bodies,
    "falls-ill": fall_ill,
    "metrics-gone": lose_metrics,
    "bearer-not-read": without_scheme(b"authorization"),
    "x-api-key-not-read": without_scheme(b"x-api-key"),
    "certificate-changed": change_certificate,
    "plain-http-served": serve_plain,
}

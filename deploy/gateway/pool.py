"""Pool: open connections to one replica, taken and given back in constant time.

A general pool, made for many hosts, compares each idle connection with all others when a request begins or
ends: with 64 streams that is more work than the streams.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from urllib.parse import urlsplit

from deploy.gateway.wire import ReplicaFailed, Wire

MAX_CONNECTIONS = 1024
# vLLM closes an idle connection after 5 s; ours must be the side that lets go first.
IDLE_EXPIRY_S = 4.0
# Errors of making a connection that are about this machine: no descriptors, no ports, no memory.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})


class Pool:
    """A stack of idle connections: the one used last is used next; those below grow old and are closed."""

    def __init__(
        self, url: str, trust: ssl.SSLContext, connect_timeout_s: float, read_timeout_s: float
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None  # noqa: S101  the settings are checked
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = trust if parts.scheme == "https" else None
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._idle: list[Wire] = []
        self._open = 0

    async def taken(self) -> Wire:
        """An idle connection, or a new one. Raises ReplicaFailed, of which nothing was sent."""
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and not self._has_expired(wire):
                return wire
            self._discard(wire)
        if self._open >= MAX_CONNECTIONS:
            raise ReplicaFailed("unreachable", f"{MAX_CONNECTIONS} connections are in use", False, ours=True)
        self._open += 1
        try:
            return await self._connected()
        except BaseException:
            self._open -= 1
            raise

    def give_back(self, wire: Wire) -> None:
        """Keep it for the next request if it can carry one, else it is closed."""
        if wire.release():
            self._idle.append(wire)
        else:
            self._open -= 1
        while self._idle and self._has_expired(self._idle[0]):
            self._discard(self._idle.pop(0))

    def close(self) -> None:
        """Close the idle ones; those in use close when they are given back."""
        while self._idle:
            self._discard(self._idle.pop())

    async def _connected(self) -> Wire:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, wire = await loop.create_connection(
                    lambda: Wire(self._read_timeout_s), self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise ReplicaFailed("unreachable", "no connection within the time-out", False) from None
        except OSError as error:  # ssl.SSLError is one
            ours = error.errno in _OURS
            raise ReplicaFailed("unreachable", str(error), False, refused=not ours, ours=ours) from error
        return wire

    def _has_expired(self, wire: Wire) -> bool:
        return asyncio.get_running_loop().time() - wire.idle_since_s > IDLE_EXPIRY_S

    def _discard(self, wire: Wire) -> None:
        self._open -= 1
        wire.close()

"""Wire: TCP for the connection pool on bare asyncio.

The pool's own way goes through anyio: a cancel scope, a checkpoint and two changes of the loop's selector for
every read. An answer is hundreds of reads, and the engine shares these cores.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

PAUSE_ABOVE_BYTES = 262_144


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Opens connections; the rest is theirs."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connected stream. Raises httpcore.ConnectTimeout and ConnectError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, wire = await loop.create_connection(Wire, host, port, happy_eyeballs_delay=0.25)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return wire

    async def sleep(self, seconds: float) -> None:
        """For the pool's retries, of which we make none."""
        await asyncio.sleep(seconds)


class Wire(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection: what arrived and was not read yet, and who waits for more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._arrived = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._reading_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  nothing else makes streams
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._arrived += data
        if len(self._arrived) > PAUSE_ABOVE_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """The other side has said all; asyncio then closes."""
        self._ended = True
        _wake(self._reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._ended, self._error = True, exc
        _wake(self._reader)
        _wake(self._writable)

    def pause_writing(self) -> None:
        """The other side reads slower than we write."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        _wake(self._writable)
        self._writable = None

    # what the pool calls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived, or next arrives; empty at the end. Raises httpcore.ReadTimeout and ReadError."""
        if not self._arrived and not self._ended:
            self._reader = self._loop.create_future()
            try:
                await self._waited(self._reader, timeout, httpcore.ReadTimeout)
            finally:
                self._reader = None
        if self._arrived:
            return self._taken(max_bytes)
        if self._error is not None:
            raise httpcore.ReadError(str(self._error)) from self._error
        return b""

    def _taken(self, max_bytes: int) -> bytes:
        data = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        if self._reading_paused and not self._arrived:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hand over bytes; waits while too many lie unsent. Raises httpcore.WriteTimeout and WriteError."""
        if self._transport.is_closing():
            raise httpcore.WriteError(str(self._error or "the connection is closed"))
        if buffer:
            self._transport.write(buffer)
        if self._writable is not None:
            await self._waited(self._writable, timeout, httpcore.WriteTimeout)
            if self._error is not None:
                raise httpcore.WriteError(str(self._error)) from self._error

    async def _waited(
        self, future: asyncio.Future[None], timeout: float | None, late: type[Exception]
    ) -> None:
        if timeout is None:
            await future
            return
        alarm = self._loop.call_later(timeout, _expire, future, late)
        try:
            await future
        finally:
            alarm.cancel()

    async def aclose(self) -> None:
        """Close at once: what is unsent has nobody to read it."""
        self._transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same stream, encrypted. Raises httpcore.ConnectTimeout and ConnectError."""
        wire = Wire()
        try:
            async with asyncio.timeout(timeout):
                transport = await self._loop.start_tls(
                    self._transport, wire, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except (OSError, ssl.SSLError) as error:
            raise httpcore.ConnectError(str(error)) from error
        if transport is None:
            raise httpcore.ConnectError("the connection was lost in the TLS handshake")
        wire.connection_made(transport)
        return wire

    def get_extra_info(self, info: str) -> Any:
        """What the pool asks about a connection; `is_readable` of an idle one means it is useless."""
        if info == "is_readable":
            return self._ended or bool(self._arrived) or self._transport.is_closing()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(names.get(info, info))


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None], late: type[Exception]) -> None:
    if not future.done():
        future.set_exception(late("no progress within the time-out"))

"""Pool: open connections to the one engine, taken and given back in constant time.

httpcore's own pool, made for many hosts, compares each idle connection with all others when a request begins
or ends: with 64 streams that is more work than the streams.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator

import httpcore
import httpx

from deploy.gateway.wire import AsyncioBackend

MAX_CONNECTIONS = 1024
# vLLM closes an idle connection after 5 s; ours must be the side that lets go first.
IDLE_EXPIRY_S = 4.0


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport on this pool."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        super().__init__(verify=trust, trust_env=False)
        self._pool = Pool(trust)


class Pool(httpcore.AsyncConnectionPool):
    """A stack of idle connections: the one used last is used next; those below grow old and are closed."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        super().__init__(ssl_context=trust, keepalive_expiry=IDLE_EXPIRY_S, network_backend=AsyncioBackend())
        self._idle: list[httpcore.AsyncConnectionInterface] = []
        self._open = 0

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; returns with the headers of the answer. Raises httpcore's errors."""
        while True:
            connection = await self._taken(request.url.origin)
            try:
                response = await connection.handle_async_request(request)
            except httpcore.ConnectionNotAvailable:  # it was closed while it lay idle
                await self._give_back(connection)
            except BaseException:
                await self._give_back(connection)
                raise
            else:
                return httpcore.Response(
                    status=response.status,
                    headers=response.headers,
                    content=_Body(response, connection, self),
                    extensions=response.extensions,
                )

    async def aclose(self) -> None:
        """Close the idle ones; those in use close when they are given back."""
        while self._idle:
            await self._close(self._idle.pop())

    async def _taken(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed() and not connection.has_expired():
                return connection
            await self._close(connection)
        if self._open >= MAX_CONNECTIONS:
            raise httpcore.PoolTimeout(f"{MAX_CONNECTIONS} connections are in use")
        self._open += 1
        return self.create_connection(origin)

    async def _give_back(self, connection: httpcore.AsyncConnectionInterface) -> None:
        if connection.is_idle() and not connection.is_closed():
            self._idle.append(connection)
        else:
            await self._close(connection)
        while self._idle and self._idle[0].has_expired():
            await self._close(self._idle.pop(0))

    async def _close(self, connection: httpcore.AsyncConnectionInterface) -> None:
        self._open -= 1
        await connection.aclose()


class _Body:
    """The body of an answer; closing it gives the connection back."""

    def __init__(
        self, response: httpcore.Response, connection: httpcore.AsyncConnectionInterface, pool: Pool
    ) -> None:
        assert isinstance(response.stream, AsyncIterable)  # noqa: S101  an async connection gives no other
        self._stream = response.stream
        self._connection: httpcore.AsyncConnectionInterface | None = connection
        self._pool = pool

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            close = getattr(self._stream, "aclose", None)
            if close is not None:
                await close()
        finally:
            await self._pool._give_back(connection)

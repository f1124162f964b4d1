"""Body: a request's body, read whole within bounds of size and time before the engine is bothered."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope


class BodyTooLarge(Exception):
    """The body is over the limit."""


class BodyTooSlow(Exception):
    """The body did not arrive in time."""


class ClientLeft(Exception):
    """The client closed the connection first."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int, timeout_s: float) -> bytes:
    """The whole body. Raises BodyTooLarge (at once when the client declares it), BodyTooSlow, ClientLeft."""
    if _declared_bytes(scope) > limit_bytes:
        raise BodyTooLarge
    try:
        async with asyncio.timeout(timeout_s):
            return await _collect(receive, limit_bytes)
    except TimeoutError:
        raise BodyTooSlow from None


async def _collect(receive: Receive, limit_bytes: int) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > limit_bytes:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return body


def _declared_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0

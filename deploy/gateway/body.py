"""Body: a request's body, read whole within bounds of size and time before the engine is bothered."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope


class BodyTooLarge(Exception):
    """The body is over the limit."""


class BodyTooSlow(Exception):
    """The body did not arrive in time."""


class ClientLeft(Exception):
    """The client closed the connection first."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int | None, timeout_s: float) -> bytes:
    """The whole body. Raises BodyTooLarge (at once when the client declares it), BodyTooSlow, ClientLeft."""
    if limit_bytes is not None and _declared_bytes(scope) > limit_bytes:
        raise BodyTooLarge
    try:
        async with asyncio.timeout(timeout_s):
            return await _collect(receive, limit_bytes)
    except TimeoutError:
        raise BodyTooSlow from None


def whole(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body already read in one message, and then what the real one gives."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay


async def until_gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _collect(receive: Receive, limit_bytes: int | None) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if limit_bytes is not None and size > limit_bytes:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _declared_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            # A number of a thousand digits is refused by the server; int() of one would be a mistake of ours.
            return int(value[:20])
    return 0

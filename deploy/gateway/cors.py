"""CORS: pages of the origins named in the settings may use the API from a browser; all others may not.

No `*`, and no credentials: a key travels in a header that a page sets on purpose, never in a cookie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.gateway.account import account_of
from deploy.gateway.envelope import send_error
from deploy.gateway.settings import Cors

ALLOWED_HEADERS = b"authorization, content-type, x-api-key, x-request-id"
EXPOSED_HEADERS = b"retry-after, x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset"
REMEMBERED_S = b"600"


class CorsHeaders:
    """The layer around everything: lets a page of an allowed origin read whatever is answered, 429 too."""

    def __init__(self, app: ASGIApp, cors: Cors) -> None:
        self._app = app
        self._origins = _encoded(cors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        origin = _header(scope, b"origin")

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._marks(origin)]
            await send(message)

        await self._app(scope, receive, marked)

    def _marks(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        vary = (b"vary", b"origin")
        if origin is None or origin not in self._origins:
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
        ]


class Preflight:
    """The layer between the limits and the keys: answers what a browser asks before the request itself."""

    def __init__(self, app: ASGIApp, cors: Cors, methods: Mapping[str, Sequence[str]]) -> None:
        self._app = app
        self._origins = _encoded(cors)
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        origin, asked = _header(scope, b"origin"), _header(scope, b"access-control-request-method")
        if scope["method"] != "OPTIONS" or origin is None or asked is None:
            await self._app(scope, receive, send)
            return
        methods = self._methods.get(scope["path"], ())
        if origin not in self._origins or asked.decode("latin-1") not in methods:
            account_of(scope).outcome = "refused"
            await send_error(send, 403, "Pages of this origin may not do this.")
            return
        headers = [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", ALLOWED_HEADERS),
            (b"access-control-max-age", REMEMBERED_S),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _encoded(cors: Cors) -> frozenset[bytes]:
    return frozenset(origin.encode() for origin in cors.origins)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    for name, value in scope["headers"]:
        if name == wanted:
            found: bytes = value
            return found
    return None

"""Admission: names the client, refuses while draining and over the limits, then asks for the key."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.gateway.account import ANONYMOUS, Account, account_of
from deploy.gateway.addresses import ClientAddresses, limited_as
from deploy.gateway.envelope import send_error
from deploy.gateway.health import Readiness
from deploy.gateway.keys import KeyRing, presented
from deploy.gateway.limiter import Limiter
from deploy.gateway.observation import PROBES


class Admission:
    """The layer before routing: limits hold for every path, known or not, with a key or without."""

    def __init__(
        self, app: ASGIApp, addresses: ClientAddresses, ring: KeyRing, limiter: Limiter, readiness: Readiness
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._ring = ring
        self._limiter = limiter
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        account = account_of(scope)
        account.client = self._addresses.of(scope)
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        account.key = self._ring.name_of(presented(scope["headers"])) or ANONYMOUS
        if self._readiness.draining:
            headers = [(b"retry-after", b"1"), (b"connection", b"close")]
            await _refuse(account, send, 503, "The gateway is shutting down.", headers)
            return
        refusal = self._limiter.refusal(limited_as(account.client), account.key)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        account.outcome, account.limit_scope = "limited", refusal.scope
        message = (
            f"Rate limit exceeded: {refusal.rate} ({refusal.scope}). Try again in {refusal.retry_after_s} s."
        )
        await send_error(send, 429, message, refusal.headers())


class Authenticated:
    """The layer around what needs a key."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 401."""
        account = account_of(scope)
        if account.key != ANONYMOUS:
            await self._app(scope, receive, send)
            return
        account.outcome = "unauthorized"
        message = "A valid key is needed: send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
        await send_error(send, 401, message, [(b"www-authenticate", b"Bearer")])


async def _refuse(
    account: Account, send: Send, status: int, message: str, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    account.outcome = "refused"
    await send_error(send, status, message, headers)

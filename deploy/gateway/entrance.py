"""Entrance: names the client, refuses while draining and over the limits; then routing asks for the key."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.gateway.account import ANONYMOUS, Account, account_of
from deploy.gateway.addresses import ClientAddresses, limited_as
from deploy.gateway.envelope import send_error
from deploy.gateway.health import Readiness
from deploy.gateway.keys import KeyRing, presented
from deploy.gateway.limiter import Limiter, Refusal, StorageFailed
from deploy.gateway.observation import PROBES
from deploy.gateway.settings import Key

CLOSE = (b"connection", b"close")
RETRY_SOON = (b"retry-after", b"1")

_SCOPE_KEY = "gateway.key"


class Entrance:
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
        key = self._ring.key_of(presented(scope["headers"]))
        account.key = ANONYMOUS if key is None else key.name
        scope[_SCOPE_KEY] = key
        if self._readiness.draining:
            account.shed("draining")
            await send_error(send, 503, "The gateway is shutting down.", [RETRY_SOON, CLOSE])
            return
        try:
            refusal = await self._limiter.refusal(limited_as(account.client), key)
        except StorageFailed:
            await refuse_without_storage(account, send)
            return
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refuse_over_limit(account, send, refusal)


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


def key_of(scope: Scope) -> Key | None:
    """The key that the entrance has found, None without one."""
    key: Key | None = scope[_SCOPE_KEY]
    return key


async def refuse_over_limit(account: Account, send: Send, refusal: Refusal) -> None:
    """429, with when to try again."""
    account.outcome, account.limit_scope = "limited", refusal.scope
    await send_error(send, 429, refusal.message, refusal.headers())


async def refuse_without_storage(account: Account, send: Send) -> None:
    """503, as nobody can tell whether the limits are kept."""
    account.outcome = "refused"
    await send_error(send, 503, "The limits cannot be checked at the moment.", [RETRY_SOON])

"""Reception: a request with a valid key, up to its slot at the engine: body, bounds, tokens, queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.gateway.account import Account, account_of
from deploy.gateway.addresses import limited_as
from deploy.gateway.admission import Admission, Shed
from deploy.gateway.body import BodyTooLarge, BodyTooSlow, ClientLeft, read_body, until_gone, whole
from deploy.gateway.bounds import Ask, BodyRefused, read_ask
from deploy.gateway.entrance import CLOSE, RETRY_SOON, key_of, refuse_over_limit, refuse_without_storage
from deploy.gateway.envelope import send_error
from deploy.gateway.limiter import Refusal, StorageFailed
from deploy.gateway.metered import Metered, asking_for_usage, hides_usage
from deploy.gateway.settings import Settings
from deploy.gateway.tokens import Budget, Charge, TooMany

# The bodies of these are recordings, not JSON.
NOT_JSON = ("/v1/audio/transcriptions", "/v1/audio/translations")
SHED_MESSAGES = {
    "queue_full": "The engine is busy and the queue is full.",
    "queue_timeout": "The engine is busy; the request waited for its turn in vain.",
    "draining": "The gateway is shutting down.",
    "no_replica": "No engine is ready.",
}


class Reception:
    """The layer between the key and the proxy. What it hands on has a body that came whole."""

    def __init__(self, app: ASGIApp, settings: Settings, budget: Budget, admission: Admission | None) -> None:
        self._app = app
        self._settings = settings
        self._budget = budget
        self._admission = admission
        self.inside = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.inside += 1
        self.idle.clear()
        try:
            if scope["method"] == "POST":
                await self._post(scope, receive, send)
            else:
                await self._app(scope, whole(b"", receive), send)
        except ClientLeft:
            account_of(scope).outcome = "client_left"
        finally:
            self.inside -= 1
            if not self.inside:
                self.idle.set()

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = account_of(scope)
        body = await self._read(scope, receive, send, account)
        if body is None:
            return
        try:
            ask = self._ask(account, body)
            charge = await self._budget.reserve(key_of(scope), ask.sequences, ask.max_tokens)
        except (BodyRefused, TooMany) as refused:
            await _refuse(account, send, 400, str(refused))
        except StorageFailed:
            await refuse_without_storage(account, send)
        else:
            if isinstance(charge, Refusal):
                await refuse_over_limit(account, send, charge)
            elif charge is None:
                await self._or_shed(scope, receive, send, body)
            else:
                await self._charged(scope, receive, send, body, ask, charge)

    async def _charged(
        self, scope: Scope, receive: Receive, send: Send, body: bytes, ask: Ask, charge: Charge
    ) -> None:
        account = account_of(scope)
        hides = hides_usage(account.endpoint, ask)
        metered = Metered(send, account, hides)
        try:
            await self._or_shed(scope, receive, metered, asking_for_usage(body, ask) if hides else body)
        finally:
            await self._budget.settle(charge, account, metered.events)

    async def _or_shed(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        account = account_of(scope)
        try:
            await self._admitted(scope, receive, send, body, account)
        except Shed as shed:
            account.shed(shed.reason)
            headers = [RETRY_SOON, CLOSE] if shed.reason == "draining" else [RETRY_SOON]
            await send_error(send, 503, SHED_MESSAGES[shed.reason], headers)

    async def _admitted(
        self, scope: Scope, receive: Receive, send: Send, body: bytes, account: Account
    ) -> None:
        admission = self._admission
        if admission is None:
            await self._app(scope, whole(body, receive), send)
            return
        key = key_of(scope)
        who = limited_as(account.client) if key is None else f"key {key.name}"
        await admission.enter(who, lambda: until_gone(receive))
        try:
            await self._app(scope, whole(body, receive), send)
        finally:
            admission.leave()

    async def _read(self, scope: Scope, receive: Receive, send: Send, account: Account) -> bytes | None:
        limit = self._settings.bounds.max_body_bytes
        try:
            return await read_body(scope, receive, limit, self._settings.body_timeout_s)
        except BodyTooLarge:
            # The connection is kept: the server reads the rest of the body and drops it, so that a client
            # that writes all before it reads gets this answer and not a reset.
            await _refuse(account, send, 413, f"The request body is larger than the {limit} bytes allowed.")
        except BodyTooSlow:
            message = f"The request body was not complete after {self._settings.body_timeout_s:g} s."
            await _refuse(account, send, 408, message, [CLOSE])
        return None

    def _ask(self, account: Account, body: bytes) -> Ask:
        if account.endpoint in NOT_JSON:
            return Ask(None, 1, None)
        ask = read_ask(body, self._settings.bounds)
        account.model = ask.model
        return ask


async def _refuse(
    account: Account, send: Send, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    account.outcome = "refused"
    await send_error(send, status, message, headers)

"""Proxy: passes one request to the engine and its answer back, byte for byte, while somebody listens."""

from __future__ import annotations

import asyncio
from typing import Literal

import httpx
from starlette.types import Receive, Scope, Send

from deploy.gateway.account import Account, account_of
from deploy.gateway.body import BodyTooLarge, BodyTooSlow, ClientLeft, read_body
from deploy.gateway.envelope import send_error
from deploy.gateway.relay import RETRY_SOON, Relay
from deploy.gateway.settings import Settings
from deploy.gateway.upstream import Upstream

CLOSE = (b"connection", b"close")


class Proxy:
    """The ASGI application behind every allowed route."""

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        self._settings = settings
        self._upstream = upstream
        self._running: set[_Interruptible] = set()
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def running(self) -> int:
        """How many requests are between their first byte in and their last byte out."""
        return len(self._running)

    def interrupt_all(self) -> int:
        """End what still runs, as the process is about to; returns how many there were."""
        for call in self._running:
            call.interrupt("shutdown")
        return len(self._running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        account = account_of(scope)
        call = _Interruptible()
        self._running.add(call)
        self.idle.clear()
        try:
            body = await self._body(scope, receive, send, account)
            if body is not None:
                await self._pass_on(scope, receive, Relay(account, send), call, body)
        finally:
            self._running.discard(call)
            if not self._running:
                self.idle.set()

    async def _body(self, scope: Scope, receive: Receive, send: Send, account: Account) -> bytes | None:
        limit = self._settings.max_body_bytes
        try:
            return await read_body(scope, receive, limit, self._settings.body_timeout_s)
        except ClientLeft:
            account.outcome = "client_left"
        except BodyTooLarge:
            # The connection is kept: the server reads the rest of the body and drops it, so that a client
            # that writes all before it reads gets this answer and not a reset.
            account.outcome = "refused"
            await send_error(send, 413, f"The request body is larger than the {limit} bytes allowed.")
        except BodyTooSlow:
            account.outcome = "refused"
            await send_error(
                send,
                408,
                f"The request body was not complete after {self._settings.body_timeout_s:g} s.",
                [CLOSE],
            )
        return None

    async def _pass_on(
        self, scope: Scope, receive: Receive, relay: Relay, call: _Interruptible, body: bytes
    ) -> None:
        account, response = relay.account, None
        account.sent_upstream = True
        call.arm()
        watcher = asyncio.create_task(_watch(receive, call))
        try:
            response = await self._upstream.ask(account, scope["query_string"], scope["headers"], body)
            await relay.forward(response)
        except asyncio.CancelledError:
            if not call.take_interruption():
                raise
        except httpx.InvalidURL:
            account.outcome = "refused"
            relay.fail(400, "The query of this URL cannot be passed on.")
        except httpx.TransportError as error:
            relay.fail_by_upstream(error)
        finally:
            # From here on nothing interrupts: uvicorn reports an answer's end and a client's leaving alike.
            call.disarm()
            watcher.cancel()
            if response is not None:
                await response.aclose()
        if call.reason == "client_left":
            account.outcome = "client_left"
            return
        if call.reason == "shutdown":
            account.outcome = "cut_by_shutdown"
            relay.fail(503, "The gateway is shutting down.", [RETRY_SOON, CLOSE])
        await relay.finish()


class _Interruptible:
    """A way to stop, from outside, the task that serves a request; told apart from other cancellations."""

    def __init__(self) -> None:
        self.reason: Literal["client_left", "shutdown"] | None = None
        self._task: asyncio.Task[None] | None = None

    def arm(self) -> None:
        """From here on the current task may be interrupted."""
        self._task = asyncio.current_task()

    def disarm(self) -> None:
        """From here on it may not."""
        self._task = None

    def interrupt(self, reason: Literal["client_left", "shutdown"]) -> None:
        """Cancel the task once; the first reason stands."""
        if self._task is not None and self.reason is None:
            self.reason = reason
            self._task.cancel()

    def take_interruption(self) -> bool:
        """True if the cancellation that was just caught is ours, which it then no longer is the task's."""
        if self.reason is None or self._task is None:
            return False
        return self._task.uncancel() == 0


async def _watch(receive: Receive, call: _Interruptible) -> None:
    """Interrupt the call when the client leaves; cancelled when the answer is complete."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.interrupt("client_left")

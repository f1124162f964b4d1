"""Proxy: passes one request to the engine and its answer back, byte for byte, while somebody listens."""

from __future__ import annotations

import asyncio
from typing import Literal

from starlette.types import Receive, Scope, Send

from deploy.gateway.account import account_of
from deploy.gateway.relay import RETRY_SOON, Relay
from deploy.gateway.upstream import Answer, NoReplica, QueryRefused, Upstream
from deploy.gateway.wire import ReplicaFailed

CLOSE = (b"connection", b"close")


class Proxy:
    """The ASGI application behind every allowed route."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._running: set[_Interruptible] = set()

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
        try:
            body = (await receive())["body"]  # the reception has it whole
            await self._pass_on(scope, receive, Relay(account, send), call, body)
        finally:
            self._running.discard(call)

    async def _pass_on(
        self, scope: Scope, receive: Receive, relay: Relay, call: _Interruptible, body: bytes
    ) -> None:
        account = relay.account
        answer: Answer | None = None
        account.sent_upstream = True
        call.arm()
        watcher = asyncio.create_task(_watch(receive, call))
        try:
            answer = await self._upstream.ask(
                account, scope["path"], scope["query_string"], scope["headers"], body
            )
            await relay.forward(answer)
        except asyncio.CancelledError:
            if not call.take_interruption():
                raise
            account.outcome = "cut_by_shutdown" if call.reason == "shutdown" else "client_left"
        except NoReplica:
            account.sent_upstream = False
            account.shed("no_replica")
            relay.fail(503, "No engine is ready.", [RETRY_SOON])
        except QueryRefused:
            account.sent_upstream = False
            account.outcome = "refused"
            relay.fail(400, "The query of this URL cannot be passed on.")
        except ReplicaFailed as failure:
            relay.fail_by_upstream(failure)
        finally:
            # From here on nothing interrupts: uvicorn reports an answer's end and a client's leaving alike.
            call.disarm()
            watcher.cancel()
            if answer is not None:
                self._upstream.conclude(answer, account)
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

"""Observation: the outermost layer; each request gets an id, an account, a log line and its metrics."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from deploy.gateway.account import Account, attach
from deploy.gateway.envelope import send_error
from deploy.gateway.logs import log_request
from deploy.gateway.metrics import Metrics
from deploy.gateway.tracing import Spans

PROBES = frozenset({"/health", "/ready"})
LOGGED_PATH_CHARACTERS = 200

# Somebody will put a key into a path or an id; what looks like one of ours, or OpenAI's, is not written down.
_KEY = re.compile(r"sk-[\w-]+")
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Observation:
    """Wraps the application; whatever happens inside, the account is closed exactly once."""

    def __init__(
        self,
        app: ASGIApp,
        paths: Iterable[str],
        metrics: Metrics,
        spans: Spans,
        log: FilteringBoundLogger,
    ) -> None:
        self._app = app
        self._endpoints = frozenset(paths) | PROBES
        self._metrics = metrics
        self._spans = spans
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        account = self._open(scope)
        attach(scope, account)
        if account.path in PROBES:
            await self._measured(scope, receive, send, account)
            return
        span = self._spans.begin(account, scope["headers"])
        self._metrics.active_requests.inc()
        try:
            await self._measured(scope, receive, send, account)
        finally:
            self._metrics.active_requests.dec()
            if span is not None:
                duration_s = time.perf_counter() - account.started_s
                self._spans.end(span, account, self._metrics.model_label(account), duration_s)

    async def _measured(self, scope: Scope, receive: Receive, send: Send, account: Account) -> None:
        try:
            await self._guarded(scope, receive, _Observed(account, send))
        finally:
            duration_s = time.perf_counter() - account.started_s
            self._metrics.record(account, duration_s)
            log_request(self._log, account, duration_s)

    def _open(self, scope: Scope) -> Account:
        path: str = scope["path"]
        known = path in self._endpoints
        return Account(
            request_id=_request_id(scope),
            method=scope["method"],
            path=path if known else _KEY.sub("sk-…", path)[:LOGGED_PATH_CHARACTERS],
            endpoint=path if known else "other",
            started_s=time.perf_counter(),
        )

    async def _guarded(self, scope: Scope, receive: Receive, observed: _Observed) -> None:
        account = observed.account
        try:
            await self._app(scope, receive, observed)
        except asyncio.CancelledError:
            account.outcome = "cut_by_shutdown"
            raise
        except Exception:
            account.outcome = "failed"
            self._log.exception("mistake", request_id=account.request_id)
            if account.status is None:
                await send_error(
                    observed, 500, "The gateway failed; its log has the reason under this request's id."
                )


class _Observed:
    """The `send` that the inside sees: notes status and bytes, and puts the request's id on the answer."""

    __slots__ = ("_send", "account")

    def __init__(self, account: Account, send: Send) -> None:
        self.account = account
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.account.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self.account.request_id.encode())]
        else:
            self.account.bytes_sent += len(message["body"])
        await self._send(message)


def _request_id(scope: Scope) -> str:
    """The client's own id when it is a safe token (it goes into logs) and no key, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            if _SAFE_ID.fullmatch(text) and not _KEY.search(text):
                return text
            break
    return uuid.uuid4().hex

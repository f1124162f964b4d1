"""Faults of the gateway for the security suite."""

from __future__ import annotations

import asyncio
import os
import posixpath
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.gateway import app, intake, keys, layers, limiter, metrics, reception, tls, tokens
from tests.mutants.gateway import Patch

Wrap = Callable[[ASGIApp, Any], ASGIApp]


def around_routes(wrap: Wrap) -> Patch:
    """Something between the limits and the routes."""

    def plant() -> None:
        honest = app.routed

        def planted(settings: Any, engine: ASGIApp, readiness: Any) -> ASGIApp:
            return wrap(honest(settings, engine, readiness), settings)

        vars(layers)["routed"] = planted

    return plant


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of a name, in small letters; b"" where there is none."""
    found: list[bytes] = [value for known, value in scope["headers"] if known == name]
    return found[0] if found else b""


def tidied(inner: ASGIApp, _: Any) -> ASGIApp:
    """A path is made what it would mean to a file system."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        path = "/" + posixpath.normpath(scope["path"]).lstrip("/").lower()
        await inner({**scope, "path": path}, receive, send)

    return served


def renamed(inner: ASGIApp, _: Any) -> ASGIApp:
    """A header names another path or method."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        path, method = header(scope, b"x-original-url"), header(scope, b"x-http-method-override")
        changes = {"path": path.decode()} if path else {}
        changes |= {"method": method.decode()} if method else {}
        await inner({**scope, **changes}, receive, send)

    return served


def saying(what: Callable[[Scope, Any], bytes]) -> Wrap:
    """Each answer has one more header."""

    def wrap(inner: ASGIApp, settings: Any) -> ASGIApp:
        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    more = (b"x-planted", what(scope, settings))
                    message["headers"] = [*message["headers"], more]
                await send(message)

            await inner(scope, receive, told)

        return served

    return wrap


def writing_keys_down(inner: ASGIApp, _: Any) -> ASGIApp:
    """The header with the key goes into the log."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        sys.stderr.write(f'{{"event": "planted", "said": "{header(scope, b"authorization").decode()}"}}\n')
        sys.stderr.flush()
        await inner(scope, receive, send)

    return served


def slow_probes(inner: ASGIApp, _: Any) -> ASGIApp:
    """/ready takes its time."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/ready":
            await asyncio.sleep(3.0)
        await inner(scope, receive, send)

    return served


def open_more_routes() -> None:
    """What vLLM leaves open is on the list, though the settings do not say so."""
    honest = app.allowed

    def planted(settings: Any) -> dict[str, list[str]]:
        more: Mapping[str, list[str]] = {"/metrics": ["GET"], "/invocations": ["POST"], "/tokenize": ["POST"]}
        return {**honest(settings), **more}

    app.allowed = vars(layers)["allowed"] = planted


def methods_taken() -> None:
    """A method that is not offered is answered with 200."""
    honest = app._refused

    async def planted(request: Any, error: Any) -> Any:
        answer = await honest(request, error)
        answer.status_code = 200 if answer.status_code == 405 else answer.status_code
        return answer

    app._refused = planted


def models_as_said() -> None:
    """The label of the model is what the client wrote."""
    metrics.Metrics.model_label = lambda self, account: str(account.model)  # type: ignore[method-assign]


def key_among_arguments() -> None:
    """A child is started with a key among its arguments."""
    words = [sys.executable, "-c", "import time; time.sleep(900)", os.environ["GATEWAY_KEY_SUITE"]]
    subprocess.Popen(words)


def slow_where_it_begins_alike() -> None:
    """A guess that begins as a key does takes longer."""
    honest = keys.KeyRing.key_of
    begins = os.environ["GATEWAY_KEY_SUITE"].encode()[:16]

    def planted(self: keys.KeyRing, credential: bytes | None) -> Any:
        if credential is not None and credential.startswith(begins):
            time.sleep(0.005)
        return honest(self, credential)

    keys.KeyRing.key_of = planted  # type: ignore[method-assign]


def without_alpn() -> None:
    """No protocol is agreed on inside TLS."""
    tls._AlertingContext.set_alpn_protocols = lambda *_: None  # type: ignore[method-assign]


def one_limit_for_all() -> None:
    """All keys share the limit of one."""

    async def planted(self: limiter.Limiter, address: str, key: Any) -> Any:
        return await self._hit("key", "10 per 2 second", "everybody")

    limiter.Limiter._refusal = planted  # type: ignore[method-assign]


def no_retry_after() -> None:
    """A refusal says nothing of when to come back."""
    limiter.Refusal.headers = lambda self: []  # type: ignore[method-assign]


def reload_ignored() -> None:
    """SIGHUP changes nothing."""
    layers.Layers.reload_keys = lambda self: None  # type: ignore[method-assign]


def bodies_unbounded() -> None:
    """A body may be as large, and take as long, as it likes."""
    honest = vars(reception)["read_body"]

    async def planted(scope: Scope, receive: Receive, limit: int | None, timeout_s: float) -> bytes:
        return bytes(await honest(scope, receive, None, 600.0))

    vars(reception)["read_body"] = planted


def tokens_unlimited() -> None:
    """No charge is ever made."""

    async def planted(self: Any, key: Any, sequences: int, asked: int | None) -> None:
        return None

    tokens.Budget.reserve = planted  # type: ignore[method-assign]


def heads_unbounded() -> None:
    """Headers may be as long as they like."""
    intake.HEAD_BOUND_BYTES = 1 << 40


def two_meanings() -> None:
    """Two hosts, and codings that nobody knows, are borne."""
    intake.Intake._require_one_meaning = lambda self: None  # type: ignore[method-assign]


def few_connections() -> None:
    """Of many connections only the first forty are served."""
    honest = intake.Intake.connection_made

    def planted(self: Any, transport: Any) -> None:
        honest(self, transport)
        if len(self.connections) > 40:
            transport.abort()

    intake.Intake.connection_made = planted  # type: ignore[method-assign]


def refusals_say_200() -> None:
    """A body that is refused is answered with 200."""
    honest = vars(reception)["send_error"]

    async def planted(send: Send, status: int, message: str, headers: Any = ()) -> None:
        await honest(send, 200 if status == 400 else status, message, headers)

    vars(reception)["send_error"] = planted


PATCHES: dict[str, Patch] = {
    "security-paths-tidied": around_routes(tidied),
    "security-renamed": around_routes(renamed),
    "security-probe-tells": around_routes(
        saying(lambda _, settings: settings.upstream.urls[0].partition("//")[2].encode())
    ),
    "security-key-repeated": around_routes(saying(lambda scope, _: header(scope, b"authorization"))),
    "security-keys-logged": around_routes(writing_keys_down),
    "security-probes-slow": around_routes(slow_probes),
    "security-routes-open": open_more_routes,
    "security-methods-taken": methods_taken,
    "security-label-as-said": models_as_said,
    "security-key-in-arguments": key_among_arguments,
    "security-timing": slow_where_it_begins_alike,
    "security-no-alpn": without_alpn,
    "security-limits-shared": one_limit_for_all,
    "security-no-retry-after": no_retry_after,
    "security-reload-ignored": reload_ignored,
    "security-bodies-unbounded": bodies_unbounded,
    "security-tokens-unlimited": tokens_unlimited,
    "security-heads-unbounded": heads_unbounded,
    "security-two-meanings": two_meanings,
    "security-few-connections": few_connections,
    "security-refusals-200": refusals_say_200,
}

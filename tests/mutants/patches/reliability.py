"""Faults of the gateway for the reliability suite: how it bears the loss of engines, watchers and disks."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from starlette.types import Receive, Scope, Send

from deploy.gateway import __main__ as program
from deploy.gateway.account import Account
from deploy.gateway.health import Readiness
from deploy.gateway.metrics import MetricsPage
from deploy.gateway.proxy import Proxy
from deploy.gateway.relay import Relay
from deploy.gateway.replicas import Replica
from deploy.gateway.upstream import Answer, NoReplica, Upstream
from deploy.gateway.upstream_settings import Health
from deploy.gateway.wire import ReplicaFailed
from tests.mutants.gateway import Patch

WATCHED_WITHIN_S = 2.2
HANGS_S = 60.0
LATE_START_S = 20.0


def end_as_if_whole() -> None:
    """A stream that broke ends with [DONE], as a whole one does."""
    honest = Relay.finish

    async def finish(self: Relay) -> None:
        if self._failure is not None and self._started and self.account.is_stream:
            await self._send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
            return
        await honest(self)

    Relay.finish = finish  # type: ignore[method-assign]


def hang_without_engine() -> None:
    """A request that finds no engine is neither answered nor refused."""
    honest = Upstream.ask

    async def ask(
        self: Upstream,
        account: Account,
        path: str,
        query: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
    ) -> Answer:
        try:
            return await honest(self, account, path, query, headers, body)
        except (NoReplica, ReplicaFailed):
            await asyncio.sleep(HANGS_S)
            raise

    Upstream.ask = ask  # type: ignore[method-assign]


def say_500() -> None:
    """Whatever is wrong with the engine is called a mistake of the gateway's own."""
    honest = Relay.fail

    def fail(self: Relay, status: int, message: str, headers: Any = ()) -> None:
        honest(self, 500 if status > 500 else status, message, headers)

    Relay.fail = fail  # type: ignore[method-assign]


def never_trust_again() -> None:
    """A replica that was lost once is never healthy again."""
    honest = Replica.checked
    lost: set[Replica] = set()

    def checked(self: Replica, reason: str | None, health: Health, late: bool = False) -> None:
        was_healthy = self.healthy
        honest(self, "it was lost once" if self in lost else reason, health, late)
        if was_healthy and not self.healthy:
            lost.add(self)

    Replica.checked = checked  # type: ignore[method-assign]


def ready_whatever() -> None:
    """/ready says 200, however the engine stands."""

    async def reason_against(self: Readiness) -> str | None:
        return None

    Readiness.reason_against = reason_against  # type: ignore[method-assign]


def cut_with_health() -> None:
    """Streams are cut as soon as their replica takes no new requests."""
    honest = Answer.read

    async def read(self: Answer) -> bytes:
        if self.replica.shut:
            raise ReplicaFailed("cut_short", "planted", whole_request_sent=True)
        return await honest(self)

    Answer.read = read  # type: ignore[method-assign]


def retry_in_the_middle() -> None:
    """An answer that breaks is begun anew at another replica, behind what the client has already."""
    put, read = Upstream._put, Answer.read
    asked: dict[Answer, tuple[Upstream, str, bytes, bytes]] = {}

    async def put_noted(self: Upstream, replica: Replica, method: str, target: bytes, rest: bytes) -> Answer:
        answer = await put(self, replica, method, target, rest)
        asked[answer] = (self, method, target, rest)
        return answer

    async def read_on(self: Answer) -> bytes:
        try:
            return await read(self)
        except ReplicaFailed:
            upstream, method, target, rest = asked[self]
            other = upstream.replicas.choose([self.replica])
            if other is None:
                raise
            again = await put(upstream, other, method, target, rest)
            self.close()
            self.replica, self._wire = again.replica, again._wire
            return await read(self)

    Upstream._put = put_noted  # type: ignore[method-assign]
    Answer.read = read_on  # type: ignore[method-assign]


def start_late_again() -> None:
    """It is quick to start the first time only."""
    honest = program.main

    def main() -> int:
        started = Path(sys.argv[sys.argv.index("--config") + 1]).with_suffix(".started")
        if started.exists():
            time.sleep(LATE_START_S)
        started.touch()
        return honest()

    program.main = main


def end_badly() -> None:
    """Its exit code says that something went wrong, after a drain that went well."""
    honest = program.main
    program.main = lambda: honest() or 7


class _Strict:
    """A log without which there is no service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            written = self._stream.write(text)
            self._stream.flush()
        except OSError:
            os._exit(1)
        return written

    def flush(self) -> None:
        """It was, with each line."""


def end_with_the_log() -> None:
    """A gateway that cannot write its log ends."""
    sys.stderr = _Strict(sys.stderr)


def serve_while_watched() -> None:
    """Requests are refused while nobody has looked at the metrics lately."""
    honest_page, honest_proxy = MetricsPage.__call__, Proxy.__call__
    looked_s: list[float] = []

    async def page(self: MetricsPage, scope: Scope, receive: Receive, send: Send) -> None:
        looked_s[:] = [time.monotonic()]
        await honest_page(self, scope, receive, send)

    async def proxy(self: Proxy, scope: Scope, receive: Receive, send: Send) -> None:
        if looked_s and time.monotonic() - looked_s[0] > WATCHED_WITHIN_S:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await honest_proxy(self, scope, receive, send)

    MetricsPage.__call__ = page  # type: ignore[method-assign]
    Proxy.__call__ = proxy  # type: ignore[method-assign]


def refuse_at_times() -> None:
    """Each 25th request is refused."""
    honest, count = Proxy.__call__, itertools.count(1)

    async def proxy(self: Proxy, scope: Scope, receive: Receive, send: Send) -> None:
        if next(count) % 25 == 0:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await honest(self, scope, receive, send)

    Proxy.__call__ = proxy  # type: ignore[method-assign]


def metrics_end_with_the_scrapes() -> None:
    """Metrics that nobody asked for during a while are not given any more."""
    honest = MetricsPage.__call__
    looked_s: list[float] = []

    async def page(self: MetricsPage, scope: Scope, receive: Receive, send: Send) -> None:
        if looked_s and time.monotonic() - looked_s[0] > WATCHED_WITHIN_S:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        looked_s[:] = [time.monotonic()]
        await honest(self, scope, receive, send)

    MetricsPage.__call__ = page  # type: ignore[method-assign]


PATCHES: dict[str, Patch] = {
    "broken-streams-end-whole": end_as_if_whole,
    "hangs-without-engine": hang_without_engine,
    "every-failure-500": say_500,
    "never-trusts-again": never_trust_again,
    "ready-whatever": ready_whatever,
    "cuts-with-health": cut_with_health,
    "retries-in-the-middle": retry_in_the_middle,
    "starts-late-again": start_late_again,
    "ends-badly": end_badly,
    "ends-with-the-log": end_with_the_log,
    "serves-while-watched": serve_while_watched,
    "refuses-at-times": refuse_at_times,
    "metrics-end-with-the-scrapes": metrics_end_with_the_scrapes,
}

"""Upstream: a request put to one replica, and to another when that is safe."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from deploy.gateway import upstream_headers
from deploy.gateway.account import Account, RetryReason
from deploy.gateway.health import HealthChecks
from deploy.gateway.keys import secret
from deploy.gateway.pool import Pool
from deploy.gateway.replicas import Replica, Replicas
from deploy.gateway.settings import Settings
from deploy.gateway.settings_fields import SettingsError
from deploy.gateway.upstream_settings import Upstream as UpstreamSettings
from deploy.gateway.wire import Head, ReplicaFailed, Wire

NOT_IMPLEMENTED = 501  # what vLLM answers to a request for what this model cannot
FAILED = 500
OVERLOADED = 503
REFUSAL_BOUND_BYTES = 65_536
# vLLM's admission limit says this before it begins; the 503 of a generation that had begun has another type.
REFUSED_TYPE = "Service Unavailable"
# What vLLM 0.32 says between SIGTERM and its end, once what it ran is done: the pool that reads prompts is
# closed, so that a request is turned away before it is begun.
ENDING = "cannot schedule new futures after shutdown"

_QUERY = re.compile(rb"[\x21-\x7e]*")


class NoReplica(Exception):
    """No replica is left that a request could be sent to."""


class QueryRefused(Exception):
    """The query of the URL cannot be passed on."""


class Answer:
    """A replica's answer, its body unread. `close` it, whatever became of it."""

    def __init__(self, replica: Replica, wire: Wire, head: Head) -> None:
        self.replica = replica
        self.status, self.headers = head.status, head.headers
        self.is_stream = any(
            name == b"content-type" and value.lower().startswith(b"text/event-stream")
            for name, value in self.headers
        )
        self._wire: Wire | None = wire
        self._read_ahead = b""

    async def read(self) -> bytes:
        """What of the body has arrived, or next arrives; empty at its end. Raises ReplicaFailed."""
        if self._read_ahead:
            ahead, self._read_ahead = self._read_ahead, b""
            return ahead
        assert self._wire is not None  # noqa: S101  nobody reads what they closed
        chunk = await self._wire.read()
        self.replica.heard += 1
        return chunk

    async def refusal(self) -> RetryReason | None:
        """Why the replica says that it did not begin; None where it does not say that.

        Reads ahead; `read` still gives the whole body.
        """
        if self.status not in (OVERLOADED, FAILED) or self.is_stream:
            return None
        body = b""
        while len(body) <= REFUSAL_BOUND_BYTES and (chunk := await self.read()):
            body += chunk
        self._read_ahead = body
        try:
            error = json.loads(body)["error"]
            told = error["type"] if self.status == OVERLOADED else error["message"]
        except (ValueError, TypeError, KeyError):
            return None
        refused: dict[object, RetryReason] = {REFUSED_TYPE: "overloaded", ENDING: "ending"}
        return refused.get(told) if isinstance(told, str) else None

    def close(self) -> None:
        """Give the connection back."""
        wire, self._wire = self._wire, None
        if wire is not None:
            self.replica.in_flight -= 1
            self.replica.pool.give_back(wire)


class Upstream:
    """All replicas of one engine, and the checks of their health, which are the caller's to run."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        upstream = settings.upstream
        self._key = _bearer(upstream, environment)
        self._retries = upstream.retries
        trust = _trust(upstream)
        self.replicas = Replicas(
            [_replica(url, upstream, trust) for url in upstream.urls], upstream.health, upstream.outlier
        )
        self.checks = HealthChecks(self.replicas, upstream, self._key)

    async def aclose(self) -> None:
        """Close every connection that is idle; those in use close when they are given back."""
        for replica in self.replicas.all:
            replica.pool.close()
            replica.checks.close()
        await asyncio.sleep(0)  # closing a connection takes one turn of the loop

    async def ask(
        self, account: Account, path: str, query: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> Answer:
        """Put a request; returns with the head of the answer. Raises ReplicaFailed, NoReplica, QueryRefused.

        Another replica is tried, `retries` times at most and none twice, when this one cannot have begun:
        no connection was made; or it was lost while a part of the request was still here (a replica begins
        with a whole body only); or the replica refused at its admission limit, or because it is ending. A
        request that changes nothing (GET) may also be asked again when no answer came. A POST that was wholly
        sent may not: whether the replica had begun cannot be known, and a second generation costs a GPU and
        may be billed.
        """
        if _QUERY.fullmatch(query) is None:
            raise QueryRefused
        target = path.encode() + (b"?" + query if query else b"")
        rest = upstream_headers.for_replica(account, headers, self._key, body)
        tried: list[Replica] = []
        while (replica := self.replicas.choose(tried)) is not None:
            tried.append(replica)
            account.replica = replica.url
            try:
                answer = await self._put(replica, account.method, target, rest)
                refused = await self._left_for(answer, tried)
                if refused is None:
                    return answer
                account.retries.append(refused)
            except ReplicaFailed as failure:
                self._note(replica, failure)
                reason = _safe_reason(failure, account.method)
                if reason is None or not self._may_try_another(tried):
                    raise
                account.retries.append(reason)
        raise NoReplica

    def conclude(self, answer: Answer, account: Account) -> None:
        """Close an answer, and remember how its replica did: a client that left says nothing about it."""
        answer.close()
        if account.upstream_error is None:
            if account.outcome == "completed":
                answer.replica.succeeded()
        elif answer.status not in (OVERLOADED, NOT_IMPLEMENTED):  # no failure of a replica: load, a request
            self.replicas.failed(answer.replica)

    def _may_try_another(self, tried: list[Replica], healthy: bool = False) -> bool:
        return len(tried) <= self._retries and self.replicas.has_other(tried, healthy)

    async def _left_for(self, answer: Answer, tried: list[Replica]) -> RetryReason | None:
        """Why this replica's answer is left for another's, and closed; None where it is the client's.

        One that is ending is left in any case: where nobody else is, "no engine is ready" is the truth.
        """
        try:
            # Nothing is read ahead of an answer that nobody could be asked for instead.
            others = answer.status == FAILED or self._may_try_another(tried, healthy=True)
            refused = await answer.refusal() if others else None
            # A plain "no, later" is worth more to a client than a wait for one that may hang. Asked again
            # afterwards: the others' health may change while the refusal is read.
            if refused == "overloaded" and not self._may_try_another(tried, healthy=True):
                refused = None
        except BaseException:
            answer.close()
            raise
        if refused is not None:
            answer.close()
        if refused == "ending":
            self.replicas.unreachable(answer.replica)
            if not self._may_try_another(tried):
                raise NoReplica
        return refused

    async def _put(self, replica: Replica, method: str, target: bytes, rest: bytes) -> Answer:
        replica.in_flight += 1
        wire: Wire | None = None
        try:
            wire = await replica.pool.taken()
            head = await wire.ask(
                b"%b %b%b HTTP/1.1\r\nhost: %b\r\n%b"
                % (method.encode(), replica.base_path, target, replica.host, rest)
            )
        except BaseException:
            replica.in_flight -= 1
            if wire is not None:
                replica.pool.give_back(wire)
            raise
        replica.heard += 1
        return Answer(replica, wire, head)

    def _note(self, replica: Replica, failure: ReplicaFailed) -> None:
        if failure.refused:
            self.replicas.unreachable(replica)
        elif not failure.ours:
            self.replicas.failed(replica)


def _safe_reason(failure: ReplicaFailed, method: str) -> RetryReason | None:
    """Why the request may be put to another replica; None when it may not."""
    if failure.kind == "unreachable":
        return "unreachable"
    if failure.kind != "disconnected":
        return None
    if not failure.whole_request_sent:
        return "unsent"
    return "idempotent" if method == "GET" else None


def _replica(url: str, settings: UpstreamSettings, trust: ssl.SSLContext) -> Replica:
    parts = urlsplit(url)
    requests = Pool(url, trust, settings.connect_timeout_s, settings.read_timeout_s)
    checks = Pool(url, trust, settings.health.timeout_s, settings.health.timeout_s)
    return Replica(url, parts.netloc.encode(), parts.path.encode(), requests, checks)


def _trust(settings: UpstreamSettings) -> ssl.SSLContext:
    """Whom to believe that it is the engine: the settings' authority and no other, or the public ones."""
    if settings.certificate_authority is None and not any(url.startswith("https:") for url in settings.urls):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # used by none; the public ones take 20 ms to read
    try:
        context = ssl.create_default_context(cafile=settings.certificate_authority)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"upstream.certificate_authority: {settings.certificate_authority} cannot be used ({error}); "
            "allowed: certificates in PEM"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _bearer(settings: UpstreamSettings, environment: Mapping[str, str]) -> bytes | None:
    variable = settings.api_key_env
    if variable is None:
        return None
    return b"Bearer " + secret(environment, variable, "upstream.api_key_env").encode()

"""Upstream: the pooled connection to the engine, and what is said and not said to it in headers."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping

import httpx

from deploy.gateway.account import Account
from deploy.gateway.keys import secret
from deploy.gateway.pool import Transport
from deploy.gateway.settings import Settings, SettingsError

RawHeaders = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_SENT_UPSTREAM = _HOP_BY_HOP | {
    b"accept-encoding",
    b"authorization",
    b"content-length",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"x-api-key",
    b"x-forwarded-for",
    b"x-request-id",
}
_NOT_SENT_BACK = _HOP_BY_HOP | {b"date", b"server", b"x-request-id"}


class Upstream:
    """One engine. Owns the connection pool; close it with `aclose`."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._url = settings.upstream.url
        self._key = _bearer(settings, environment)
        self._timeout = httpx.Timeout(
            settings.upstream.read_timeout_s,
            connect=settings.upstream.connect_timeout_s,
            pool=settings.upstream.connect_timeout_s,
        )
        self._extensions = {"timeout": self._timeout.as_dict()}
        self._client = httpx.AsyncClient(
            transport=Transport(_trust(settings)),
            timeout=self._timeout,
            trust_env=False,
            follow_redirects=False,
        )

    async def ask(
        self, account: Account, query: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> httpx.Response:
        """Send a request; returns with the headers of the answer, its body unread. Raises httpx errors."""
        url = self._url + account.route + (f"?{query.decode('latin-1')}" if query else "")
        # Built by hand, not by the client: no headers of its own, and no cookie of one user for the next.
        request = httpx.Request(
            account.method,
            url,
            headers=self._headers(account, headers),
            content=body or None,
            extensions=self._extensions,
        )
        return await self._client.send(request, stream=True)

    async def health_status(self, timeout_s: float) -> int:
        """The status of the engine's own /health. Raises httpx errors."""
        response = await self._client.get(f"{self._url}/health", timeout=timeout_s)
        return response.status_code

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    def _headers(self, account: Account, inbound: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        headers = without(inbound, _NOT_SENT_UPSTREAM)
        headers += [
            (b"accept-encoding", b"identity"),
            (b"x-forwarded-for", account.client.encode("latin-1")),
            (b"x-request-id", account.request_id.encode()),
        ]
        if self._key:
            headers.append((b"authorization", self._key))
        return headers


def headers_for_client(response: httpx.Response, is_stream: bool) -> RawHeaders:
    """The upstream's headers less those that are ours to set; an event stream is marked against buffering."""
    headers = without(response.headers.raw, _NOT_SENT_BACK)
    if is_stream:
        headers = [(name, value) for name, value in headers if name != b"cache-control"]
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    return headers


def without(headers: Iterable[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> RawHeaders:
    """Headers in lower case, less the dropped ones and those that `Connection` names."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for token in value.split(b",")
    }
    return [(name, value) for name, value in lowered if name not in dropped and name not in named]


def _trust(settings: Settings) -> ssl.SSLContext:
    """Whom to believe that it is the engine: the settings' authority and no other, or the public ones."""
    authority = settings.upstream.certificate_authority
    if authority is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"upstream.certificate_authority: {authority} cannot be used ({error}); "
            "allowed: certificates in PEM"
        ) from None


def _bearer(settings: Settings, environment: Mapping[str, str]) -> bytes | None:
    variable = settings.upstream.api_key_env
    if variable is None:
        return None
    return b"Bearer " + secret(environment, variable, "upstream.api_key_env").encode()

"""Headers: what a request says to a replica, and what an answer's headers say to the client."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.gateway.account import Account
from deploy.gateway.wire import Headers

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
    b"origin",
    b"x-api-key",
    b"x-forwarded-for",
    b"x-request-id",
}
_NOT_SENT_BACK = _HOP_BY_HOP | {
    b"date",
    b"server",
    b"x-request-id",
    # Which origins are allowed is the gateway's to say: vLLM's default is all of them.
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-allow-origin",
    b"access-control-expose-headers",
    b"access-control-max-age",
}
_BODILESS = (204, 304)


def for_replica(
    account: Account, inbound: Iterable[tuple[bytes, bytes]], key: bytes | None, body: bytes
) -> bytes:
    """All of a request behind its Host header: the client's headers less what is ours to say, and body."""
    headers = without(inbound, _NOT_SENT_UPSTREAM)
    headers += [
        (b"accept-encoding", b"identity"),
        (b"x-forwarded-for", account.client.encode("latin-1")),
        (b"x-request-id", account.request_id.encode()),
    ]
    if key:
        headers.append((b"authorization", key))
    if account.traceparent is not None:
        headers = [(name, value) for name, value in headers if name != b"traceparent"]
        headers.append((b"traceparent", account.traceparent))
    if body or account.method != "GET":
        headers.append((b"content-length", b"%d" % len(body)))
    return b"".join([b"%b: %b\r\n" % header for header in headers]) + b"\r\n" + body


def for_client(status: int, headers: Headers, is_stream: bool) -> Headers:
    """The answer's headers less those that are ours to set; an event stream is marked against buffering."""
    kept = without(headers, _NOT_SENT_BACK)
    if status in _BODILESS:  # may name the length of the body that it has not
        kept = [(name, value) for name, value in kept if name != b"content-length"]
    if is_stream:
        kept = [(name, value) for name, value in kept if name != b"cache-control"]
        kept += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    return kept


def without(headers: Iterable[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> Headers:
    """Headers in lower case, less the dropped ones and those that `Connection` names."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for token in value.split(b",")
    }
    return [(name, value) for name, value in lowered if name not in dropped and name not in named]

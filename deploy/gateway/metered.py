"""Metered: a stream of a key whose tokens are limited tells its usage, to us if not to its client.

A client that streams may leave `stream_options.include_usage` away, and so pay only what was reserved: little
when it names no `max_tokens`, and nothing for its prompt. So it is asked for here, and the event that tells
it is taken out again; all other events pass as they came. No other body is changed.
"""

from __future__ import annotations

import orjson
from starlette.types import Message, Send

from deploy.gateway import generate
from deploy.gateway.account import Account
from deploy.gateway.bounds import Ask

# Where `stream_options` may stand. /generate asks for usage by itself; other forms tell it unasked.
_WITH_OPTIONS = frozenset({"/v1/chat/completions", "/v1/completions"})
_SPACE = b" \t\r\n"


def hides_usage(endpoint: str, ask: Ask) -> bool:
    """Whether this is a stream that does not ask for its usage, in a form in which it could."""
    options = ask.stream_options
    if endpoint not in _WITH_OPTIONS or not ask.is_stream:
        return False
    return options is None or (isinstance(options, dict) and options.get("include_usage") in (None, False))


def asking_for_usage(body: bytes, ask: Ask) -> bytes:
    """The body with include_usage; every other byte is kept, unless it has options that must be changed."""
    options = {**(ask.stream_options or {}), "include_usage": True}
    document = orjson.loads(body)
    if "stream_options" in document:
        return orjson.dumps({**document, "stream_options": options})
    fields = body.rstrip(_SPACE)[:-1]  # it has one at least, `stream`
    return fields + b',"stream_options":' + orjson.dumps(options) + b"}"


class Metered:
    """The `send` of a request with a charge: counts events, and drops the one that tells only usage."""

    def __init__(self, send: Send, account: Account, hides: bool) -> None:
        self._send = send
        self._account = account
        self._hides = hides
        self._end = b"\n" if account.endpoint == generate.PATH else b"\n\n"
        self._rest = b""
        self.events = 0  # the engine sends an event for a token, or for several: at least so many tokens

    async def __call__(self, message: Message) -> None:
        """Pass on one message, or the part of it that is whole events."""
        if message["type"] != "http.response.body" or not self._account.is_stream:
            await self._send(message)
            return
        body: bytes = message.get("body", b"")
        if self._hides:
            body = self._shown(body, bool(message.get("more_body")))
            if not body and message.get("more_body"):
                return
        self.events += body.count(self._end)
        await self._send({**message, "body": body})

    def _shown(self, body: bytes, more: bool) -> bytes:
        *events, self._rest = (self._rest + body).split(self._end)
        shown = b"".join([event + self._end for event in events if not _tells_only_usage(event)])
        return shown if more else shown + self._rest


def _tells_only_usage(event: bytes) -> bool:
    if b'"usage"' not in event or not event.startswith(b"data:"):
        return False
    try:
        told = orjson.loads(event[5:])
    except orjson.JSONDecodeError:
        return False
    return isinstance(told, dict) and told.get("choices") == [] and isinstance(told.get("usage"), dict)

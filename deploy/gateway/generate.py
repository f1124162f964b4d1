"""Generate: the plain API of simple servers, POST /generate, before an engine that has none.

Request, JSON: `prompt` (text, needed), `max_tokens` (default 256), `temperature`, `top_p`, `stream` (default
false), `model` (default: the one that is served). Another field is refused, as it would be ignored.

Answer: `{"text": "...", "usage": {"prompt_tokens": n, "completion_tokens": n, "total_tokens": n},
"finish_reason": "stop" | "length"}`; `text` is what was generated, without the prompt. With `stream: true`, a
JSON object a line (application/x-ndjson): `{"text": "..."}` with all of the text so far, as vLLM's
demonstration server has it; the last line carries `usage` and `finish_reason` too. A stream without such a
last line was cut short; one that failed ends in a line in the OpenAI envelope, `{"error": {...}}`. Errors are
those of all other routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.gateway.account import Account, account_of
from deploy.gateway.body import whole
from deploy.gateway.envelope import send_error

PATH = "/generate"
ENGINE_PATH = "/v1/completions"
DEFAULT_MAX_TOKENS = 256
_PASSED_ON = ("max_tokens", "temperature", "top_p", "model")
_KINDS: dict[str, tuple[type, ...]] = {
    "prompt": (str,),
    "max_tokens": (int, type(None)),
    "temperature": (int, float, type(None)),
    "top_p": (int, float, type(None)),
    "stream": (bool, type(None)),
    "model": (str, type(None)),
}
_OUR_HEADERS = frozenset({b"content-length", b"content-type", b"transfer-encoding"})


class _Wrong(Exception):
    """The request is none. The text is for the client."""


class Generate:
    """The layer before the proxy that translates this one route and lets all others pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; its body comes whole, in one message, and is a JSON object."""
        account = account_of(scope)
        if account.endpoint != PATH:
            await self._app(scope, receive, send)
            return
        try:
            body = completion_body(orjson.loads((await receive())["body"]))
        except _Wrong as wrong:
            account.outcome = "refused"
            await send_error(send, 400, str(wrong))
            return
        inner = {**scope, "path": ENGINE_PATH, "query_string": b"", "headers": _as_json(scope)}
        translated = _Translated(send, account)
        await self._app(inner, whole(body, receive), translated)
        await translated.finish()


def completion_body(given: dict[str, Any]) -> bytes:
    """The same question as the engine's /v1/completions takes it. Raises _Wrong."""
    for name, value in given.items():
        if name not in _KINDS:
            raise _Wrong(f"A field of this request is not known; allowed: {', '.join(_KINDS)}.")
        wrong_number = isinstance(value, bool) and bool not in _KINDS[name]
        if wrong_number or not isinstance(value, _KINDS[name]):
            raise _Wrong(f"{name} is of the wrong kind.")
    if "prompt" not in given:
        raise _Wrong("prompt is missing.")
    asked = {name: given[name] for name in _PASSED_ON if given.get(name) is not None}
    body = {"prompt": given["prompt"], "max_tokens": DEFAULT_MAX_TOKENS, **asked}
    if given.get("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps(body)


def _as_json(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Clients of simple servers name all sorts of content types; the engine takes one."""
    others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return [*others, (b"content-type", b"application/json")]


@dataclass(slots=True)
class _Translated:
    """The `send` that the proxy sees; what it says of a completion is said in this API's words."""

    send: Send
    account: Account
    start: Message | None = None  # of an answer that is not a stream, held until its body is complete
    rest: bytes = b""
    text: str = ""
    last: dict[str, Any] = field(default_factory=dict)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self.account.is_stream:
                await self.send(_headed(message, b"application/x-ndjson"))
            else:
                self.start = message
        elif self.account.is_stream:
            await self._stream(message)
        else:
            await self._whole(message)

    async def finish(self) -> None:
        """Say that a body of which the beginning is held has never come whole."""
        if self.start is not None and self.account.outcome != "client_left":
            await send_error(
                self.send, 502, "The engine closed the connection before its answer was complete."
            )

    async def _stream(self, message: Message) -> None:
        more = bool(message.get("more_body", False))
        *events, self.rest = (self.rest + message.get("body", b"")).split(b"\n\n")
        lines = b"".join(self._line(event) for event in events)
        if lines or not more:
            await self.send({"type": "http.response.body", "body": lines, "more_body": more})

    def _line(self, event: bytes) -> bytes:
        """The line for one event; none for one that tells nothing, or that was cut in the middle."""
        data = event.strip().removeprefix(b"data:").strip()
        if data == b"[DONE]" and self.last:
            return orjson.dumps({"text": self.text, **self.last}) + b"\n"
        document = _object(data)
        if "error" in document:
            self.last = {}  # vLLM says [DONE] after an error too
            return orjson.dumps({"error": document["error"]}) + b"\n"
        return orjson.dumps({"text": self.text}) + b"\n" if self._take(document) else b""

    def _take(self, document: dict[str, Any]) -> str:
        said = ""
        for choice in document.get("choices") or ():
            said += choice.get("text") or ""
            if choice.get("finish_reason"):
                self.last["finish_reason"] = choice["finish_reason"]
        if document.get("usage"):
            self.last["usage"] = document["usage"]
        self.text += said
        return said

    async def _whole(self, message: Message) -> None:
        self.rest += message.get("body", b"")
        if message.get("more_body", False) or self.start is None:
            return
        start, self.start = self.start, None
        body = self.rest
        if start["status"] == 200:
            completion = _object(body)
            if not completion.get("choices"):
                await send_error(self.send, 502, "The engine's answer cannot be read.")
                return
            self._take(completion)
            body = orjson.dumps({"text": self.text, **self.last})
        await self.send(_headed(start, b"application/json", len(body)))
        await self.send({"type": "http.response.body", "body": body})


def _object(data: bytes) -> dict[str, Any]:
    """The JSON object in some bytes, an empty one if there is none."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _headed(message: Message, kind: bytes, length: int | None = None) -> Message:
    headers = [(name, value) for name, value in message["headers"] if name not in _OUR_HEADERS]
    headers.append((b"content-type", kind))
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {**message, "headers": headers}

"""Envelope: the OpenAI shape of an error, as an answer of its own or as an event inside a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus

from starlette.types import Send

_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    405: "method_not_allowed",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "internal_error",
    502: "upstream_error",
    503: "service_unavailable",
    504: "upstream_timeout",
}


def error_body(status: int, message: str) -> bytes:
    """The JSON body of an error; `code` is the HTTP status, as vLLM has it."""
    kind = _TYPES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_")
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": status}}).encode()


def error_event(status: int, message: str) -> bytes:
    """The same as one server-sent event, which begins on a fresh line whatever was cut off before it."""
    return b"\n\ndata: " + error_body(status, message) + b"\n\n"


async def send_error(
    send: Send, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """A whole answer: status line, headers, envelope."""
    body = error_body(status, message)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})

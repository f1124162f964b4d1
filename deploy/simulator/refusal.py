"""Refusal: an answer that is an error, in one of the three shapes in which vLLM 0.32 puts errors."""

import json
from http import HTTPStatus
from typing import Any


class Refusal(Exception):
    """Ends the handling of a request with `status` and the JSON `body`, which is what the client gets."""

    def __init__(self, status: int, body: dict[str, Any], allow: str | None = None) -> None:
        super().__init__(body)
        self.status = status
        self.body = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        self.allow = allow


def envelope(status: int, kind: str, message: str, param: str | None) -> Refusal:
    """The OpenAI object: {"error": {"message", "type", "param", "code"}}."""
    return Refusal(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})


def failure(status: int) -> Refusal:
    """An error that is dictated: the type is the status's name, as 500 is InternalServerError in vLLM."""
    kind = HTTPStatus(status).phrase.title().replace(" ", "").removesuffix("Error") + "Error"
    return envelope(status, kind, "This failure is dictated: a simulator was told to answer so.", None)


def bad_value(message: str, param: str | None, value: object = None) -> Refusal:
    """400 for a value that parses but cannot be served; vLLM repeats parameter and value at the end of the
    message.
    """
    if param is not None:
        shown = "" if value is None else f", value={value}"
        message = f"{message} (parameter={param}{shown})"
    return envelope(400, "BadRequestError", message, param)


def bad_shape(kind: str, where: str, message: str, seen: object) -> Refusal:
    """400 for a body that does not have the schema, in the words of vLLM's validation handler."""
    shown = f"<{type(seen).__name__} of {len(seen)} items>" if isinstance(seen, dict | list) else str(seen)
    detail = {"type": kind, "loc": where, "msg": message, "input": shown}
    return envelope(400, "Bad Request", f"1 validation error:\n  {detail}", where)


def detail(status: int, text: str, allow: str | None = None) -> Refusal:
    """The web framework's own shape: {"detail": str}, for unknown paths and wrong methods."""
    return Refusal(status, {"detail": text}, allow)


def unauthorized() -> Refusal:
    """The key check's own shape: {"error": str}; no WWW-Authenticate, as vLLM sends none."""
    return Refusal(401, {"error": "Unauthorized"})

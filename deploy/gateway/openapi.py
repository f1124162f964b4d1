"""OpenAPI: the gateway's own surface as its settings make it, and no word of what lies behind it."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Receive, Scope, Send

from deploy.gateway import chat, generate
from deploy.gateway.bounds import MAX_TOKENS_FIELDS
from deploy.gateway.settings import Bounds, Settings

PATH = "/openapi.json"
Schema = dict[str, Any]

ERRORS = {
    "400": "The request cannot be read, or asks for more than the bounds allow",
    "401": "No valid key",
    "404": "No such route, or (the engine's word) no such model",
    "405": "Another method is allowed here",
    "408": "The body was not complete in time",
    "413": "The body is too large",
    "429": "Over a limit; Retry-After and X-RateLimit-* say when and which",
    "500": "A mistake of the gateway or of the engine",
    "502": "The engine closed the connection",
    "503": "Shed: busy, draining, or no engine; Retry-After says when to try again",
    "504": "The engine did not answer in time",
}
_KEYS: Schema = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["integer", "string", "null"]},
            },
        }
    },
}
_READY: Schema = {
    "type": "object",
    "required": ["ready"],
    "properties": {"ready": {"type": "boolean"}, "reason": {"type": "string"}},
}


class OpenApi:
    """The ASGI application behind GET /openapi.json. No key is needed for it."""

    def __init__(self, settings: Settings) -> None:
        self._body = json.dumps(document(settings)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the document."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def document(settings: Settings) -> Schema:
    """The description, as OpenAPI 3.1."""
    paths: Schema = {}
    for line in settings.routes:
        method, path = line.split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, settings)
    paths["/health"] = {"get": _own("The gateway lives", {"200": _json({"type": "object"}, "It does")})}
    ready = {"200": _json(_READY, "A request would find an engine"), "503": _json(_READY, "It would not")}
    paths["/ready"] = {"get": _own("An engine is ready", ready)}
    if settings.openapi:
        paths[PATH] = {
            "get": _own("This description", {"200": _json({"type": "object"}, "It"), **_errors("429", "503")})
        }
    if settings.chat_page is not None:
        page = {"description": "The page", "content": {"text/html": {}}}
        paths[chat.PATH] = {"get": _own("A page for people", {"200": page, **_errors("429", "503")})}
    return {
        "openapi": "3.1.0",
        "info": {"title": "vllm-slo gateway", "version": "1"},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"securitySchemes": _KEYS, "schemas": {"Error": _ERROR}},
    }


def _own(summary: str, responses: Schema) -> Schema:
    return {"summary": summary, "security": [], "responses": responses}


def _operation(method: str, path: str, settings: Settings) -> Schema:
    operation: Schema = {
        "summary": _SUMMARIES.get(path, "Passed on to the engine"),
        "security": [{name: []} for name in _KEYS] if settings.authentication == "required" else [{}],
        "responses": {"200": _success(path), **_errors(*ERRORS)},
    }
    if method == "POST":
        body = _BODIES.get(path, lambda _: {"type": "object"})(settings.bounds)
        if settings.bounds.require_max_tokens:
            names = ("max_tokens",) if path == generate.PATH else MAX_TOKENS_FIELDS
            body = {**body, "anyOf": [{"required": [name]} for name in names]}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _success(path: str) -> Schema:
    response = _json({"type": "object"}, "The answer, as the engine gives it")
    if path in _STREAMS:
        response["content"][_STREAMS[path]] = {}  # events, or lines; a schema would be held against each
    return response


def _errors(*statuses: str) -> Schema:
    error = {"$ref": "#/components/schemas/Error"}
    return {status: _json(error, ERRORS[status]) for status in statuses}


def _json(schema: Schema, text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _sampling(bounds: Bounds) -> Schema:
    return {
        "max_tokens": _most({"type": "integer", "minimum": 1}, "maximum", bounds.max_tokens),
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "stream": {"type": "boolean"},
        "model": {"type": "string"},
    }


def _openai(bounds: Bounds) -> Schema:
    return {
        **_sampling(bounds),
        "n": _most({"type": "integer", "minimum": 1}, "maximum", bounds.max_n),
        "stop": _most({"type": "array", "items": {"type": "string"}}, "maxItems", bounds.max_stop),
    }


def _chat(bounds: Bounds) -> Schema:
    message: Schema = {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"enum": ["system", "user", "assistant"]},
            "content": {"type": "string"},
        },
    }
    messages = _most({"type": "array", "minItems": 1, "items": message}, "maxItems", bounds.max_messages)
    return _object({"messages": messages, **_openai(bounds)}, "messages")


def _completion(bounds: Bounds) -> Schema:
    texts = _most(
        {"type": "array", "minItems": 1, "items": {"type": "string"}}, "maxItems", bounds.max_prompts
    )
    return _object({"prompt": {"anyOf": [{"type": "string"}, texts]}, **_openai(bounds)}, "prompt")


def _plain(bounds: Bounds) -> Schema:
    return {
        **_object({"prompt": {"type": "string"}, **_sampling(bounds)}, "prompt"),
        "additionalProperties": False,
    }


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


def _most(schema: Schema, word: str, bound: int | None) -> Schema:
    return schema if bound is None else {**schema, word: bound}


_CHAT, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_SUMMARIES = {
    "/v1/models": "The models that are served",
    _CHAT: "The next message of a conversation",
    _COMPLETIONS: "The continuation of a text",
    generate.PATH: "The continuation of a text, in the plain form of simple servers",
}
_BODIES = {_CHAT: _chat, _COMPLETIONS: _completion, generate.PATH: _plain}
_STREAMS = {
    _CHAT: "text/event-stream",
    _COMPLETIONS: "text/event-stream",
    generate.PATH: "application/x-ndjson",
}

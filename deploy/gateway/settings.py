"""Settings: the YAML file, checked whole at the start; a complaint names its field and what is allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from deploy.gateway.settings_clients import Bounds, Cors, Key, Limits, Queue
from deploy.gateway.settings_fields import (
    WHOLE,
    Network,
    Port,
    RouteLine,
    Seconds,
    SettingsError,
    TlsVersion,
)
from deploy.gateway.settings_text import complaints, read_document
from deploy.gateway.upstream_settings import Tracing, Upstream, upstream_contradictions

__all__ = ["Address", "Bounds", "Cors", "Key", "Limits", "Network", "Queue", "Settings", "SettingsError",
           "Tls", "Tracing", "Upstream", "keys_in", "load", "parse"]  # fmt: skip

DEFAULT_ROUTES = ("GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions")
CHAT_PAGE = Path(__file__).parents[1] / "chat" / "index.html"


def _page(value: object) -> object:
    if isinstance(value, bool):
        return CHAT_PAGE if value else None
    if value is not None and not isinstance(value, str | Path):
        raise ValueError("is not a page; allowed: true, false, or the path of an HTML file")
    return value


@dataclass(frozen=True, config=WHOLE)
class Address:
    """Where to listen. Port 0 takes any free one; the line `listening` on stderr says which."""

    port: Port
    host: str = "127.0.0.1"


@dataclass(frozen=True, config=WHOLE)
class Tls:
    """Files in PEM, and the lowest version of the protocol that is spoken."""

    certificate: Path
    private_key: Path
    minimum_version: TlsVersion = "1.2"


@dataclass(frozen=True, config=WHOLE)
class Settings:
    """The whole file."""

    listen: Address
    metrics: Address
    upstream: Upstream
    tracing: Tracing | None = None
    authentication: Literal["required", "off"] = "required"
    tls: Tls | None = None
    keys: tuple[Key, ...] = ()
    keys_file: Path | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    admission: Queue | None = None
    bounds: Bounds = dataclasses.field(default_factory=Bounds)
    cors: Cors = dataclasses.field(default_factory=Cors)
    routes: tuple[RouteLine, ...] = DEFAULT_ROUTES
    openapi: bool = False
    chat_page: Annotated[Path | None, BeforeValidator(_page)] = None
    trusted_proxies: tuple[Network, ...] = ()
    drain_timeout_s: Seconds = 20.0
    body_timeout_s: Seconds = 60.0


def load(path: Path) -> Settings:
    """The settings in a YAML file. Raises SettingsError."""
    return parse(read_document(path))


def parse(document: object) -> Settings:
    """The settings in a parsed document. Raises SettingsError with a line for every wrong field."""
    try:
        settings = TypeAdapter(Settings).validate_python(document)
    except ValidationError as error:
        raise SettingsError("\n".join(complaints(error.errors(), Settings))) from None
    found = list(_contradictions(settings))
    if found:
        raise SettingsError("\n".join(found))
    return settings


def keys_in(path: Path) -> tuple[Key, ...]:
    """The entries of a keys_file: a list, or the same under `keys:`; digests only. Raises SettingsError."""
    document = read_document(path, "keys_file")
    entries = document["keys"] if isinstance(document, dict) and set(document) == {"keys"} else document
    try:
        keys = TypeAdapter(tuple[Key, ...]).validate_python([] if entries is None else entries)
    except ValidationError as error:
        found = list(complaints(error.errors(), tuple[Key, ...], "keys"))
    else:
        found = [*_entry_contradictions(keys), *_only_digests(keys)]
        if not found:
            return keys
    raise SettingsError("\n".join(f"keys_file: {path}: {line}" for line in found))


def _only_digests(keys: Sequence[Key]) -> Iterator[str]:
    for index, key in enumerate(keys):
        if key.key_env:
            yield f"keys.{index}.key_env: has no place in a keys_file; allowed: sha256"


def _entry_contradictions(keys: Sequence[Key]) -> Iterator[str]:
    names = [key.name for key in keys]
    if "anonymous" in names:
        yield "keys: the name 'anonymous' is taken by clients without a key; choose another"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"keys: the name '{name}' is given more than once; allowed: one entry a name"
    for index, key in enumerate(keys):
        if (key.key_env is None) == (key.sha256 is None):
            yield f"keys.{index}: must have one of key_env and sha256, has {'both' if key.sha256 else 'none'}"


def _contradictions(settings: Settings) -> Iterator[str]:
    yield from _entry_contradictions(settings.keys)
    if settings.authentication == "required" and not settings.keys and settings.keys_file is None:
        yield "keys: none given, but authentication is required; give one, or say 'authentication: off'"
    if not settings.routes:
        yield "routes: is empty, so nothing would pass; leave it out for the default"
    yield from _taken_routes(settings)
    if settings.listen.port and settings.listen == settings.metrics:
        yield "metrics.port: is the port of the API; allowed: a port of its own"
    yield from _storage_contradictions(settings.limits)
    if settings.bounds.require_max_tokens and settings.bounds.max_tokens is None:
        yield "bounds.require_max_tokens: bounds nothing without bounds.max_tokens; give that too"
    yield from upstream_contradictions(settings.upstream)


def _taken_routes(settings: Settings) -> Iterator[str]:
    for index, line in enumerate(settings.routes):
        if line.split(" ")[1] in ("/health", "/ready", "/openapi.json", "/chat"):
            yield f"routes.{index}: {line.split(' ')[1]} is the gateway's own; take it off the list"
    if "GET /generate" in settings.routes:
        yield "routes: GET /generate is no route of the gateway; allowed: POST /generate"


def _storage_contradictions(limits: Limits) -> Iterator[str]:
    if limits.storage == "redis" and limits.redis_url_env is None:
        yield "limits.redis_url_env: is missing, but storage is redis; give the variable that holds its URL"
    if limits.storage == "memory" and limits.redis_url_env is not None:
        yield "limits.redis_url_env: is given, but storage is memory; say 'storage: redis', or take it away"
    if limits.storage == "memory" and limits.window == "sliding":
        yield "limits.window: is sliding, but storage is memory, where windows move exactly; allowed: moving"

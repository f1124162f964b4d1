"""Settings towards clients: keys, limits, the queue, bounds of a request, other origins."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from deploy.gateway.settings_fields import (
    ORIGIN_FORM,
    WHOLE,
    Count,
    Digest,
    EnvironmentName,
    KeyName,
    Rate,
    Seconds,
)


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or "*" in text or "@" in text:
        raise ValueError(f"is not an origin; allowed: {ORIGIN_FORM}")
    if text != f"{parts.scheme}://{parts.netloc}".lower():
        raise ValueError(f"is not an origin as browsers send it; allowed: {ORIGIN_FORM}")
    return text


Origin = Annotated[str, AfterValidator(_origin)]


@dataclass(frozen=True, config=WHOLE)
class Key:
    """One client's key: a name for logs and metrics; its secret by a variable's name, or its digest."""

    name: KeyName
    key_env: EnvironmentName | None = None
    sha256: Digest | None = None
    limit: Rate | None = None
    tokens_limit: Rate | None = None


@dataclass(frozen=True, config=WHOLE)
class Limits:
    """Rates, each null for none: per address, per address without a key, per key; and where they are kept."""

    client: Rate | None = None
    anonymous: Rate | None = None
    key: Rate | None = None
    key_tokens: Rate | None = None
    tokens_reserved: Count = 512
    storage: Literal["memory", "redis"] = "memory"
    redis_url_env: EnvironmentName | None = None
    window: Literal["moving", "sliding"] = "moving"
    storage_timeout_s: Seconds = 0.25
    on_storage_failure: Literal["refuse", "allow"] = "refuse"


@dataclass(frozen=True, config=WHOLE)
class Queue:
    """How many POST requests may be at the engine, how many may wait, and for how long."""

    in_flight: Count
    queued: Annotated[int, Field(ge=0)] = 0
    queue_timeout_s: Seconds = 30.0


@dataclass(frozen=True, config=WHOLE)
class Bounds:
    """What a request's body may ask for, each null for no bound. Counts, bytes, levels."""

    max_body_bytes: Count | None = 4_194_304
    max_depth: Count | None = 64
    max_tokens: Count | None = None
    require_max_tokens: bool = False
    max_n: Count | None = 16
    max_messages: Count | None = 2048
    max_prompts: Count | None = 128
    max_stop: Count | None = 64


@dataclass(frozen=True, config=WHOLE)
class Cors:
    """Pages of which other origins may use the API from a browser. None, unless named."""

    origins: tuple[Origin, ...] = ()

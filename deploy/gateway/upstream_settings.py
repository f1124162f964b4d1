"""Settings of the gateway's side towards the engine: replicas, their health, retries, traces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from deploy.gateway.settings_fields import WHOLE, Count, EnvironmentName, Seconds

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _server_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not the URL of a server; allowed: http://HOST:PORT or https://HOST:PORT")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "must hold no user, password, query or fragment; a key goes into upstream.api_key_env"
        )
    if not text.isascii() or any(not 32 < ord(character) < 127 for character in text):
        raise ValueError("must be ASCII without spaces; allowed: http://HOST:PORT or https://HOST:PORT")
    try:
        parts.port  # noqa: B018  the property checks it
    except ValueError:
        raise ValueError("has a port that is none; allowed: 1 to 65535") from None
    return text.rstrip("/")


ServerUrl = Annotated[str, AfterValidator(_server_url)]


@dataclass(frozen=True, config=WHOLE)
class Health:
    """How each replica's /health is watched: how often, for how long, and how many in a row decide."""

    every_s: Seconds = 1.0
    timeout_s: Seconds = 1.0
    unhealthy_after: Count = 2
    healthy_after: Count = 1


@dataclass(frozen=True, config=WHOLE)
class Outlier:
    """When a replica that fails requests is left out, for how long, and how many may be at once."""

    failures: Count = 5
    window_s: Seconds = 10.0
    ejected_s: Seconds = 10.0
    most_ejected_share: Share = 0.5


@dataclass(frozen=True, config=WHOLE)
class Upstream:
    """The engine: one `url` or several `replicas`, their key's variable, who vouches for them."""

    url: ServerUrl | None = None
    replicas: tuple[ServerUrl, ...] = ()
    api_key_env: EnvironmentName | None = None
    certificate_authority: Path | None = None
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 600.0
    health: Health = dataclasses.field(default_factory=Health)
    outlier: Outlier = dataclasses.field(default_factory=Outlier)
    retries: Annotated[int, Field(ge=0, le=10)] = 1

    @property
    def urls(self) -> tuple[str, ...]:
        """Every replica's URL."""
        return self.replicas if self.url is None else (self.url,)


@dataclass(frozen=True, config=WHOLE)
class Tracing:
    """Where spans go (OTLP over HTTP), which share of requests without a parent, and our name there."""

    endpoint: ServerUrl
    sample_share: Share = 0.1
    service_name: Annotated[str, Field(min_length=1, max_length=100)] = "vllm-slo-gateway"


def upstream_contradictions(upstream: Upstream) -> Iterator[str]:
    """A complaint for each thing that is wrong between the fields."""
    if (upstream.url is None) == (not upstream.replicas):
        yield "upstream.url: give it or upstream.replicas; allowed: exactly one of the two"
    for url in sorted({url for url in upstream.replicas if upstream.replicas.count(url) > 1}):
        yield f"upstream.replicas: {url} is given more than once; allowed: one entry a replica"

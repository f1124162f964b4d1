"""Direct scrape: a component's /metrics, asked for now."""

from __future__ import annotations

import time
from collections.abc import Collection

import httpx

from instruments.errors import TelemetryError
from instruments.telemetry.exposition import parse_exposition, parse_some
from instruments.telemetry.snapshot import Snapshot

BOUND_S = 5.0
MOST_BYTES = 64 * 2**20


class DirectScrape:
    """Reads one /metrics URL."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self._url = url
        self._client = client

    @property
    def source(self) -> str:
        return "direct scrape"

    def snapshot(self) -> Snapshot:
        return parse_exposition(self._text())

    def some(self, names: Collection[str]) -> Snapshot:
        """The samples of these names alone, in a fraction of the time. Raises TelemetryError."""
        return parse_some(self._text(), names)

    def _text(self) -> str:
        """The body, whole, within the bound: a server that gives a byte a second is not waited for."""
        bound, body = time.monotonic() + BOUND_S, bytearray()
        try:
            with self._client.stream("GET", self._url, timeout=BOUND_S) as response:
                response.raise_for_status()
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > bound or len(body) > MOST_BYTES:
                        raise TelemetryError(
                            f"{self._url} cannot be scraped",
                            expected=f"an end within {BOUND_S:g} s and {MOST_BYTES >> 20} MiB",
                            seen=f"{len(body)} bytes, and no end",
                        )
        except httpx.HTTPError as error:
            raise TelemetryError(
                f"{self._url} cannot be scraped", expected="HTTP 200", seen=f"{type(error).__name__}: {error}"
            ) from None
        return body.decode("utf-8", "replace")

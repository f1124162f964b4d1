"""Direct scrape: a component's /metrics, asked for now."""

from __future__ import annotations

import httpx

from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot
from instruments.telemetry.exposition import parse_exposition

BOUND_S = 5.0


class DirectScrape:
    """Reads one /metrics URL."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self._url = url
        self._client = client

    @property
    def source(self) -> str:
        return "direct scrape"

    def snapshot(self) -> Snapshot:
        try:
            response = self._client.get(self._url, timeout=BOUND_S)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise TelemetryError(
                f"{self._url} cannot be scraped", expected="HTTP 200", seen=f"{type(error).__name__}: {error}"
            ) from None
        return parse_exposition(response.text)

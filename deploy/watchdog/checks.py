"""Checks: whether a child answers, by its health page and by a real request of one token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx

from deploy.watchdog.settings import Health, Probe

BUSY = 503  # an engine or gateway whose queue is full says so: it lives
LONGEST_PAGE = 4_000_000


class Checks:
    """One HTTP client. An answer is None when all is well, else what is wrong, in words."""

    def __init__(self, environment: Mapping[str, str], authority: Path | None = None) -> None:
        self._environment = environment
        # A connection a check: one kept open would hide a listener that takes no more.
        self._client = httpx.AsyncClient(
            trust_env=False,
            verify=ssl.create_default_context(cafile=authority),
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=httpx.Timeout(None),  # each check has one bound for all of it
        )

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def healthy(self, health: Health) -> str | None:
        """Whether the health page answers 2xx in time."""
        try:
            async with asyncio.timeout(health.timeout_s):
                answer = await self._client.get(health.url)
        except TimeoutError:
            return f"no answer in {health.timeout_s:g} s"
        except httpx.HTTPError as error:
            return type(error).__name__
        return None if answer.is_success else f"status {answer.status_code}"

    async def generates(self, probe: Probe) -> str | None:
        """Whether a token comes in time, or at least others' tokens do."""
        before = await self._progress(probe)
        trouble = await self._token(probe)
        if trouble is None:
            return None
        after = await self._progress(probe)
        return None if before is not None and after is not None and after > before else trouble

    async def _token(self, probe: Probe) -> str | None:
        headers = {}
        if probe.key_env is not None:
            headers["Authorization"] = f"Bearer {self._environment[probe.key_env]}"
        body = {"model": probe.model, "prompt": "1", "max_tokens": 1}
        try:
            async with asyncio.timeout(probe.timeout_s):
                answer = await self._client.post(probe.url, json=body, headers=headers)
        except TimeoutError:
            return f"no token in {probe.timeout_s:g} s"
        except httpx.HTTPError as error:
            return type(error).__name__
        ill = answer.status_code >= 500 and answer.status_code != BUSY
        return f"status {answer.status_code}" if ill else None

    async def _progress(self, probe: Probe) -> float | None:
        """The sum of the counters that show progress; None where they cannot be read."""
        if probe.metrics_url is None:
            return None
        try:
            async with asyncio.timeout(probe.timeout_s):
                page = await self._client.get(probe.metrics_url)
        except (TimeoutError, httpx.HTTPError):
            return None
        return total(page.text[:LONGEST_PAGE], probe.progress)


def total(page: str, names: tuple[str, ...]) -> float | None:
    """The sum of all series with these names on a page of metrics; None where there is none."""
    values = []
    for line in page.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] in names:
            values.append(float(value))
    return sum(values) if values else None

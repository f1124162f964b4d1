"""The stage of the gateway's tests: a gateway before a scripted engine, real sockets, bounded waits."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn.server
from prometheus_client.parser import text_string_to_metric_families

from deploy.gateway.logs import json_logger
from deploy.gateway.server import Gateway
from deploy.gateway.settings import parse
from tests.deploy.scripted_engine import (
    DONE,
    Hold,
    Reply,
    Request,
    Script,
    Upstream,
    answer_ok,
    saying,
    streaming,
    until,
)

# What the tests import from here, those of the engine among them.
__all__ = [
    "AUTHORIZED",
    "CHAT",
    "DONE",
    "ENVIRONMENT",
    "ROOT",
    "SECRET",
    "UPSTREAM_SECRET",
    "Hold",
    "Reply",
    "Request",
    "Running",
    "Script",
    "Upstream",
    "answer_ok",
    "fleet",
    "gateway",
    "saying",
    "settings_of",
    "stage",
    "streaming",
    "until",
    "upstream_of",
]


class _Brisk:
    """asyncio as uvicorn's server has it in these tests: what it does every 0.1 s, it does every 0.01 s.

    Ending takes two of those pauses, and most of these tests end a gateway: 0.2 s each for nothing.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(delay_s: float) -> None:
        await asyncio.sleep(delay_s / 10)


vars(uvicorn.server)["asyncio"] = _Brisk()

ROOT = Path(__file__).parents[2]
TRUST = ssl.create_default_context()  # one for all clients: each would read every authority's certificate
SECRET = "sk-client-3f9a"
UPSTREAM_SECRET = "sk-engine-71cc"
ENVIRONMENT = {"GATEWAY_KEY": SECRET, "SECOND_KEY": "sk-second-08d1", "ENGINE_KEY": UPSTREAM_SECRET}
AUTHORIZED = {"Authorization": f"Bearer {SECRET}"}
CHAT = "/v1/chat/completions"


def upstream_of(**changed: Any) -> dict[str, Any]:
    """The block `upstream`; health is asked after often, so that no test has to wait for it."""
    return {
        "api_key_env": "ENGINE_KEY",
        "connect_timeout_s": 2,
        "health": {"every_s": 0.1},
        **changed,
    }


def settings_of(upstream_url: str, **changed: Any) -> dict[str, Any]:
    """A document that works, with top-level fields replaced."""
    return {
        "listen": {"port": 0},
        "metrics": {"port": 0},
        "upstream": upstream_of(url=upstream_url),
        "keys": [{"name": "suite", "key_env": "GATEWAY_KEY"}],
        "drain_timeout_s": 5,
        **changed,
    }


class Running:
    """A gateway in this event loop, with a client that needs no arguments."""

    def __init__(self, gateway: Gateway, log: io.StringIO, client: httpx.AsyncClient) -> None:
        self.gateway, self._log, self.client = gateway, log, client
        self.url, self.metrics_url = gateway.url, gateway.metrics_url
        self.port = int(self.url.rsplit(":", 1)[1])

    @property
    def log_text(self) -> str:
        return self._log.getvalue()

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log_text.splitlines()]
        return [line for line in lines if line["event"] == event]

    def chat(self, **options: Any) -> Any:
        """An authorized streaming POST, as a context manager."""
        return self.client.stream("POST", CHAT, headers=AUTHORIZED, json={"stream": True}, **options)

    async def scrape(self) -> str:
        async with httpx.AsyncClient(trust_env=False, verify=TRUST) as client:
            response = await client.get(self.metrics_url)
            assert response.status_code == 200
            return response.text

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and at least these labels; 0 without any."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(await self.scrape())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def reading(self, name: str, value: float, **labels: str) -> None:
        """Returns once the metric has this value."""
        async with asyncio.timeout(5):
            while await self.metric(name, **labels) != value:
                pass


@contextlib.asynccontextmanager
async def gateway(upstream_url: str, **changed: Any) -> AsyncIterator[Running]:
    """A gateway that is listening; stopped and drained at the end."""
    log = io.StringIO()
    served = Gateway(parse(settings_of(upstream_url, **changed)), ENVIRONMENT, json_logger(log))
    served.bind()
    serving = asyncio.create_task(served.serve())
    try:
        async with httpx.AsyncClient(
            base_url=served.url, trust_env=False, timeout=10, verify=TRUST
        ) as client:
            yield Running(served, log, client)
    finally:
        served.stop()
        await asyncio.wait_for(serving, 15)


@contextlib.asynccontextmanager
async def stage(**changed: Any) -> AsyncIterator[tuple[Upstream, Running]]:
    """An upstream and a gateway before it."""
    async with Upstream().running() as upstream, gateway(upstream.url, **changed) as running:
        yield upstream, running


@contextlib.asynccontextmanager
async def fleet(
    count: int, upstream: dict[str, Any] | None = None, **changed: Any
) -> AsyncIterator[tuple[list[Upstream], Running]]:
    """Several upstreams and one gateway before them; `upstream` replaces fields of that block."""
    async with contextlib.AsyncExitStack() as undo:
        upstreams = [await undo.enter_async_context(Upstream().running()) for _ in range(count)]
        block = upstream_of(replicas=[one.url for one in upstreams], **(upstream or {}))
        running = await undo.enter_async_context(gateway("", upstream=block, **changed))
        yield upstreams, running

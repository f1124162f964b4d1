"""The gateway that is fuzzed, the engine behind it that notes what it is asked, and the findings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.gateway_stage import DONE, ROOT, Reply, Request, Upstream, until
from tests.fuzz.gateway_shapes import KEY, PATHS

SHOWN = 3  # findings of one kind
ALLOWED = {"/v1/models", "/v1/chat/completions", "/v1/completions"}


@dataclass
class Findings:
    """What was found, how often; the first few in full on stderr."""

    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, detail: object) -> None:
        self.counts[what] += 1
        if self.counts[what] <= SHOWN:
            sys.stderr.write(f"{what}: {str(detail)[-2500:]}\n")


class Engine:
    """An engine that answers everything, never with a 5xx, and notes what should not have come."""

    def __init__(self, upstream: Upstream, findings: Findings) -> None:
        self._findings = findings
        self.asked = 0
        upstream.script = self._answer
        self._requests = upstream.requests

    async def _answer(self, request: Request, reply: Reply) -> None:
        self._requests.clear()
        self.asked += 1
        self._judge(request)
        if b'"stream": true' in request.body or b'"stream":true' in request.body:
            await reply.stream()
            await reply.chunk(b'data: {"choices":[{"text":"x","finish_reason":"stop"}]}\n\n')
            await reply.chunk(DONE)
            await reply.end()
        else:
            await reply.whole(
                200, b'{"data":[{"id":"tiny"}],"choices":[{"text":"x","finish_reason":"stop"}]}'
            )

    def _judge(self, request: Request) -> None:
        path = request.target.partition("?")[0]
        if path not in ALLOWED:
            self._findings.add("a path reached the engine that is not on the list", request.target)
        names = [name for name, _ in request.headers]
        if any(names.count(name) > 1 for name in ("content-length", "authorization", "x-forwarded-for")):
            self._findings.add("a header that is ours was there twice", request.headers)
        if "transfer-encoding" in names or request.header("x-forwarded-for") != "127.0.0.1":
            self._findings.add("a header of the client's passed", request.headers)
        if request.method == "POST" and not _is_object(request.body):
            self._findings.add("a body reached the engine that is no JSON object", request.body[:500])


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def settings_of(upstream_url: str) -> dict[str, Any]:
    """Everything on, and bounds small enough to be met."""
    return {
        "listen": {"port": 0},
        "metrics": {"port": 0},
        "upstream": {"url": upstream_url},
        "keys": [{"name": "fuzz", "key_env": "FUZZ_KEY", "tokens_limit": "1000000000/minute"}],
        "routes": ["GET /v1/models", *(f"POST {path}" for path in PATHS)],
        "limits": {"client": "1000000/second", "anonymous": "1000000/second", "key": "1000000/second"},
        "admission": {"in_flight": 16, "queued": 1000},
        "bounds": {"max_body_bytes": 262_144, "max_tokens": 64},
        "cors": {"origins": ["https://page.example"]},
        "openapi": True,
        "body_timeout_s": 2,
    }


@dataclass
class Target:
    """A gateway that is up."""

    process: asyncio.subprocess.Process
    url: httpx.URL
    metrics_url: str
    log: Path


@contextlib.asynccontextmanager
async def target(upstream_url: str, folder: Path) -> AsyncIterator[Target]:
    """Start a gateway, wait until it listens, kill it at the end if it is still there."""
    config, log = folder / "gateway.yaml", folder / "gateway.log"
    config.write_text(yaml.safe_dump(settings_of(upstream_url)))
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.gateway", "--config", str(config),
            cwd=ROOT, env={"FUZZ_KEY": KEY}, stderr=written,
        )  # fmt: skip
    try:
        await until(lambda: b"\n" in log.read_bytes(), "the gateway to listen", 20)
        first = json.loads(log.read_bytes().splitlines()[0])
        yield Target(process, httpx.URL(first["url"]), first["metrics_url"], log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

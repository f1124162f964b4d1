"""The loop on httpx: closed loop of streams, an instant kept for each line with content."""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

HEADERS = {"content-type": "application/json"}
BOUND_S = 60.0


async def user(client: httpx.AsyncClient, bodies: Iterator[str], samples: list[list[float]]) -> None:
    """Ask until there is nothing left to ask."""
    for body in bodies:
        instants: list[float] = []
        sent = time.perf_counter()
        async with client.stream("POST", "/v1/chat/completions", content=body, headers=HEADERS) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                now = time.perf_counter()
                if line.startswith("data: {") and _has_content(line):
                    instants.append(now - sent)
        samples.append(instants)


def _has_content(line: str) -> bool:
    choices = json.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


def main() -> None:
    """Run the load and write the samples."""
    parser = argparse.ArgumentParser()
    for name in ("base-url", "bodies", "streams", "samples"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    bodies = Path(given.bodies).read_text().splitlines()
    samples = asyncio.run(load(given.base_url, iter(bodies), int(given.streams)))
    Path(given.samples).write_text(json.dumps(samples))


async def load(base_url: str, bodies: Iterator[str], streams: int) -> list[list[float]]:
    """All requests; for each, the seconds from sending to every line with content."""
    samples: list[list[float]] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(
        base_url=base_url, limits=limits, timeout=BOUND_S, trust_env=False
    ) as client:
        await asyncio.gather(*(user(client, bodies, samples) for _ in range(streams)))
    return samples


if __name__ == "__main__":
    main()

"""The loop on aiohttp: closed loop of streams, an instant kept for each line with content."""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

HEADERS = {"content-type": "application/json"}
BOUND_S = 60.0


async def user(client: aiohttp.ClientSession, bodies: Iterator[str], samples: list[list[float]]) -> None:
    """Ask until there is nothing left to ask."""
    for body in bodies:
        instants: list[float] = []
        sent = time.perf_counter()
        async with client.post("/v1/chat/completions", data=body, headers=HEADERS) as response:
            response.raise_for_status()
            async for line in response.content:
                now = time.perf_counter()
                if line.startswith(b"data: {") and _has_content(line):
                    instants.append(now - sent)
        samples.append(instants)


def _has_content(line: bytes) -> bool:
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
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=BOUND_S, sock_connect=BOUND_S)
    async with aiohttp.ClientSession(base_url, connector=connector, timeout=timeout) as client:
        await asyncio.gather(*(user(client, bodies, samples) for _ in range(streams)))
    return samples


if __name__ == "__main__":
    main()

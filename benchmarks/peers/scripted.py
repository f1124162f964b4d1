"""Peers whose user writes the client: a script that runs in the peer's environment and writes samples."""

import json
from itertools import pairwise

from benchmarks import place
from benchmarks.peers.peer import Ask, Reading

CLIENTS = place.ROOT / "benchmarks" / "clients"
SAMPLES = "samples.json"


def arguments(ask: Ask) -> dict[str, str]:
    """What the scripts are given."""
    return {
        "base-url": ask.base_url,
        "bodies": str(ask.bodies),
        "streams": str(ask.scenario.streams),
        "samples": str(ask.folder / SAMPLES),
    }


def read(ask: Ask) -> Reading:
    return parse((ask.folder / SAMPLES).read_text())


def parse(text: str) -> Reading:
    """A list of requests, each the seconds from sending to every `data:` line that carries a token."""
    requests = [instants for instants in json.loads(text) if instants]
    return Reading(
        completed=len(requests),
        ttft_ms=tuple(instants[0] * 1e3 for instants in requests),
        itl_ms=tuple((b - a) * 1e3 for instants in requests for a, b in pairwise(instants)),
    )

"""`vllm bench serve`: asyncio and aiohttp, from the engine's own environment."""

import json
import os

from benchmarks import place
from benchmarks.installer import engine_and_model
from benchmarks.peers import vllm_results
from benchmarks.peers.peer import Ask, Command, Peer


def command(ask: Ask) -> Command:
    """vLLM's entry point, with the metadata that its CPU build needs, and never on the network."""
    described = json.loads((place.ENGINE / "engine.json").read_text())
    paths = os.pathsep.join(str(place.ROOT / path) for path in described["pythonpath"])
    env = {
        "PYTHONPATH": paths,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    return Command([str(place.ENGINE / "bin" / "vllm"), *vllm_results.arguments(ask)], env)


PEER = Peer(
    name="vllm-bench",
    title="`vllm bench serve` (asyncio, aiohttp)",
    how="the user's clock from before the request to its first chunk, the role-only one included; gaps "
    "between chunks; values per request from --save-detailed",
    install=engine_and_model,
    command=command,
    read=vllm_results.read,
)

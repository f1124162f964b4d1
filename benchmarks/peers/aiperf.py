"""AIPerf: asyncio and aiohttp in worker processes, records handled by further processes over ZeroMQ."""

import json

from benchmarks import place
from benchmarks.installer import engine_and_model, environment
from benchmarks.peers.peer import Ask, Command, Peer, Reading

REQUIREMENTS = ["aiperf==0.13.0"]
RECORDS = "profile_export.jsonl"


def install() -> None:
    engine_and_model()
    environment("aiperf", REQUIREMENTS)


def command(ask: Ask) -> Command:
    load = ask.scenario
    argv = [
        *[str(place.HOME / "aiperf" / "bin" / "aiperf"), "profile", "--model", place.MODEL_NAME],
        *["--url", ask.base_url, "--endpoint-type", "chat", "--streaming", "--tokenizer", str(place.MODEL)],
        *["--isl", str(load.prompt_tokens), "--osl", str(load.tokens), "--use-server-token-count"],
        *["--extra-inputs", "ignore_eos:true", "--random-seed", str(ask.seed)],
        *["--concurrency", str(load.streams), "--request-count", str(load.requests)],
        *["--ui", "none", "--no-server-metrics", "--no-gpu-telemetry"],
        *["--export-level", "records", "--artifact-dir", str(ask.folder)],
    ]
    # A tokenizer's folder is taken for a name on the hub when the hub is off: so it is on, and never asked.
    return Command(argv, {"HF_HOME": str(place.HOME / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"})


def read(ask: Ask) -> Reading:
    return parse((ask.folder / RECORDS).read_text())


def parse(text: str) -> Reading:
    """TTFT and gaps between chunks of each request that ended well, from the records."""
    lines = [json.loads(line) for line in text.splitlines()]
    done = [line["metrics"] for line in lines if "time_to_first_token" in line["metrics"]]
    return Reading(
        completed=len(done),
        ttft_ms=tuple(one["time_to_first_token"]["value"] for one in done),
        itl_ms=tuple(gap for one in done for gap in one.get("inter_chunk_latency", {"value": []})["value"]),
    )


PEER = Peer(
    name="aiperf",
    title="AIPerf (asyncio, aiohttp, ZeroMQ)",
    how="the user's clock from the request's start in its worker to the first chunk with content, connecting "
    "included; gaps between chunks; values per request from --export-level records",
    install=install,
    command=command,
    read=read,
)

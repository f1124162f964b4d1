"""python -m deploy.exporter --port N [--host 127.0.0.1] [--dcgm-names]

Serves /metrics and /health until SIGTERM or SIGINT. Without NVML it says so once and serves gpu_exporter_up
0, so that Prometheus can alert; it tries again by itself. Logs are JSON lines on stderr.

Exit codes: 0 after SIGTERM or SIGINT, 1 a mistake of ours (the traceback is on stderr), 2 the arguments
cannot be used, 3 the port cannot be bound.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from deploy.exporter.page import Page
from deploy.exporter.sampler import Sampler
from deploy.exporter.server import Answer, Server, metrics, words

EXIT_PORT = 3
STOP_BOUND_S = 0.5
LOOK_EVERY_S = 1.0
POLL_S = 0.1  # how soon it ends when told to


def main() -> int:
    """Serve until told to stop."""
    given = _arguments()
    nvml = importlib.import_module("pynvml")
    sampler = Sampler(nvml, say, every_s=given.every_s, retry_every_s=given.retry_every_s)
    hostname = (os.environ.get("NODE_NAME") or socket.gethostname()) if given.dcgm_names else None
    page = Page(sampler, stale_after_s=given.stale_after_s, hostname=hostname)
    longest_pause_s = max(given.every_s, given.retry_every_s)

    def health() -> Answer:
        # No NVML is nothing that a restart mends; a call that hangs in the driver may be.
        return words(503, "nvml hangs") if page.hangs(longest_pause_s) else words(200, "ok")

    try:
        server = Server(given.host, given.port, {"/metrics": lambda: metrics(page.text()), "/health": health})
    except OSError as error:
        print(f"exporter: expected a free port at {given.host}:{given.port}; seen: {error}", file=sys.stderr)
        return EXIT_PORT
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    sampler.start()
    looks = {"poll_interval": POLL_S}
    threading.Thread(target=server.serve_forever, kwargs=looks, name="server", daemon=True).start()
    print(f"vllm-slo-exporter: {server.url}", flush=True)
    while not stopping.wait(LOOK_EVERY_S):
        if not sampler.lives:
            return 1  # its traceback is on stderr; a supervisor starts us anew
    server.shutdown()
    server.server_close()
    if not sampler.stop(STOP_BOUND_S):
        say("nvml_hangs", bound_s=STOP_BOUND_S)
    return 0


def say(event: str, **facts: Any) -> None:
    """One line of the log."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"ts": moment, "event": event, **facts}), file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.exporter", description="Metrics of this machine's GPUs."
    )
    parser.add_argument("--port", type=_port, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine only")
    parser.add_argument("--dcgm-names", action="store_true", help="dcgm-exporter's names as well")
    parser.add_argument("--every-s", type=_seconds, default=1.0, help="between two readings; default 1")
    parser.add_argument(
        "--stale-after-s", type=_seconds, default=5.0, help="older readings are absent; default 5"
    )
    parser.add_argument(
        "--retry-every-s", type=_seconds, default=5.0, help="between two tries to open NVML; default 5"
    )
    given = parser.parse_args()
    if given.stale_after_s <= given.every_s:
        parser.error("--stale-after-s must be longer than --every-s: readings would come and go")
    return given


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("expected 0 to 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.01 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("expected 0.01 to 3600 seconds")
    return seconds


if __name__ == "__main__":
    sys.exit(main())

"""`calibrate` on the command line: a table of the client's error, or JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from instruments.calibration.measure import PROFILES, Level, calibrated

STREAMS = (1, 16, 64, 256, 1024)
HEADINGS = (
    "profile",
    "streams",
    "requests",
    "TTFT p99",
    "ITL p99",
    "chunk p50",
    "p99",
    "max",
    "sent p99",
    "loop lag",
    "server late",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m instruments calibrate`."""
    parser.add_argument(
        "--streams",
        type=_streams,
        default=STREAMS,
        metavar="N,N,…",
        help="numbers of streams (default: 1,16,64,256,1024)",
    )
    parser.add_argument(
        "--server",
        default=shlex.join([sys.executable, "-m", "deploy.simulator"]),
        metavar="COMMAND",
        help="starts the server of known timing (default: this project's simulator)",
    )
    parser.add_argument(
        "--load-processes", type=_count, default=1, metavar="N", help="processes that send (default: 1)"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep journals and the server's logs here")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")


def run(asked: argparse.Namespace) -> int:
    """Measure and print. Exit status 0; 3 when a level could not be compared."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends in good order, the server with it
    with tempfile.TemporaryDirectory(prefix="vllm-slo-calibration-") as spare:
        levels: list[Level] = []
        if not asked.json:
            _say(_heading())
        for level in calibrated(
            shlex.split(asked.server),
            asked.streams,
            folder=asked.folder or Path(spare),
            processes=asked.load_processes,
        ):
            levels.append(level)
            if not asked.json:
                _say(row(level))
    if asked.json:
        _say(json.dumps([asdict(level) for level in levels], indent=2))
    else:
        _say(_legend(levels))
    return (
        0
        if all(level.error.compared == level.error.requests and not level.error.uneven for level in levels)
        else 3
    )


def _heading() -> str:
    return "  ".join(f"{word:>9}" for word in HEADINGS)


def row(level: Level) -> str:
    """One line of the table; times in milliseconds."""
    error = level.error
    lag_s = level.client.loop_lag_p99_s if level.client is not None else None
    times = (
        error.ttft_p99_error_s, error.itl_p99_error_s, error.chunk_error_p50_s, error.chunk_error_p99_s,
        error.chunk_error_max_s, error.send_error_p99_s, lag_s, error.server_late_p99_s,
    )  # fmt: skip
    cells = [level.profile, str(level.streams), f"{error.compared}/{error.requests}", *map(_ms, times)]
    return "  ".join(f"{cell:>9}" for cell in cells)


def _ms(value_s: float | None) -> str:
    return "–" if value_s is None else f"{value_s * 1e3:.3f}"


def _legend(levels: list[Level]) -> str:
    stamps = {level.client.stamps for level in levels if level.client is not None}
    profiles = "\n".join(f"  {one.name}: {one.description}" for one in PROFILES)
    return (
        "\nMilliseconds; the client less the server's own instants. TTFT, ITL: difference of the two p99.\n"
        "chunk: a chunk's arrival less its sending. sent: a request's arrival at the server less the\n"
        "client's stamp of it. loop lag (p99): how late the client's loop was, which a client that stamps\n"
        "what it reads would add to each of its numbers. server late (p99): sends after their dictated\n"
        "instants, which is no error of the client: what it is compared with are the sends.\n"
        f"Arrivals stamped by: {', '.join(sorted(stamps)) or 'nobody'}.\n{profiles}"
    )


def _streams(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(one) for one in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected numbers of at least 1, with commas, got {text!r}")
    return numbers


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

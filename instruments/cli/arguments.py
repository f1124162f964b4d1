"""Arguments: the options of `run`, in the groups in which a reader looks for them, and their small types."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from instruments.limits import RequestTimeouts, RunLimits

ARRIVALS = ("constant", "poisson", "gamma", "burst", "ramp", "stages")
TRACES = ("jsonl", "sharegpt", "mooncake", "azure")
APIS = ("chat", "completions", "generate")

PROMPT_HELP = (
    "N, or A:B for A to B evenly (default: 24, or the fewest that the chat template leaves room for)"
)
STAGES_FORM = "RATE:SECONDS,RATE:SECONDS,…"
EPILOG = """\
examples:
  64 users who ask again as soon as they are answered, 512 requests in all:
    python -m instruments run --base-url http://127.0.0.1:8000 --users 64 --requests 512 \\
        --prompt-tokens 32 --output-tokens 64
  200 independent requests a second for a minute, over TLS with a key, numbers as JSON:
    export STACK_KEY
    python -m instruments run --base-url https://llm.example --rate 200 --arrivals poisson --duration 60 \\
        --api-key-env STACK_KEY --ca-file ca.pem --json
  from 1 to 100 requests a second within five minutes, prompts of 16 to 512 tokens:
    python -m instruments run --base-url http://127.0.0.1:8000 --arrivals ramp --rate 1 --rate-to 100 \\
        --duration 300 --prompt-tokens 16:512
  a recorded hour in half an hour:
    python -m instruments run --base-url http://127.0.0.1:8000 --trace hour.csv --trace-format azure --speed 2

exit codes:
    0  every request that was due completed, and the run counts
    1  some did not complete, or the run was stopped early
    2  an option, a file or the server cannot be used: no load was sent, or it cannot be recorded
    3  void: the client disturbed its own measurement (the summary says how)
  130  interrupted: the summary is of what there is, and the journal is whole (143: by SIGTERM)
"""


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything that `run` understands."""
    parser.usage = "%(prog)s --base-url URL [options]"
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for add in (_target, _load, _arrivals, _content, _limits, _output):
        add(parser)


def _target(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("target").add_argument
    add("--base-url", required=True, metavar="URL", help="http://HOST[:PORT] or https://…, without /v1")
    add("--api", choices=APIS, help="which API is asked (default: chat)")
    add("--no-stream", action="store_true", help="ask for whole answers; there is no TTFT then")
    add("--model", metavar="NAME", help="default: the first that GET /v1/models lists")
    add("--api-key-env", metavar="NAME", help="the environment variable that holds the key")
    add("--ca-file", type=Path, metavar="PEM", help="trust this authority instead of the system's")
    add("--client-cert", type=Path, metavar="PEM", help="the client's certificate, for mutual TLS")
    add("--client-key", type=Path, metavar="PEM", help="its key, where it is not in the same file")
    add("--insecure", action="store_true", help="do NOT verify the server's certificate")
    add(
        "--proxy",
        metavar="URL",
        help="http://HOST:PORT of a proxy; those of the environment are never used",
    )
    bounds = RequestTimeouts()
    for name, default, what in (
        ("connect", bounds.connect_s, "a connection"),
        ("first-byte", bounds.first_byte_s, "the first byte of an answer"),
        ("stall", bounds.stall_s, "the next byte of an answer"),
        ("request", bounds.total_s, "the whole of an answer"),
    ):
        text = f"longest wait for {what} (default: {default:g})"
        add(f"--{name}-timeout", type=positive, default=default, metavar="S", help=text)


def _load(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "load", "One user, where neither --users nor --rate nor a file says more."
    )
    how = group.add_mutually_exclusive_group()
    how.add_argument(
        "--users", type=count, metavar="N", help="closed loop: N users, one request each at a time"
    )
    how.add_argument(
        "--rate", type=positive, metavar="R", help="open loop: R requests a second, answered or not"
    )
    add = group.add_argument
    add("--think", type=duration, metavar="S", help="users wait so long after each answer (default: 0)")
    add(
        "--user-ramp",
        type=duration,
        metavar="S",
        help="users begin one after the other within S (default: 0)",
    )
    add("--requests", type=count, metavar="N", help="requests in all, warm-up apart")
    add(
        "--duration",
        type=positive,
        metavar="S",
        help="nothing is due S seconds after the start; what is in flight then ends",
    )
    add("--warmup", type=whole, metavar="N", help="N requests before, sent alike, not counted (default: 0)")
    add("--seed", type=whole, metavar="N", help="of prompts and arrivals (default: another one each time)")
    add(
        "--load-processes",
        type=processes,
        default=1,
        metavar="auto|N",
        help="engines, one a core; auto looks at the load (default: 1)",
    )


def _arrivals(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("arrivals, of an open loop").add_argument
    add("--arrivals", choices=ARRIVALS, metavar="KIND", help=f"{', '.join(ARRIVALS)} (default: constant)")
    add("--burstiness", type=positive, metavar="B", help="gamma: 1 is Poisson, less comes in clumps")
    add("--burst-size", type=count, metavar="N", help="burst: N at one instant, so often that --rate holds")
    add("--rate-to", type=positive, metavar="R", help="ramp: from --rate to this within --duration")
    add("--ramp-shape", choices=("linear", "exponential"), help="ramp: default linear")
    add(
        "--stages",
        type=stages,
        metavar="R:S,R:S,…",
        help="stages: R requests a second for S seconds, then the next; 10:30,0:5,50:30",
    )
    add("--spacing", choices=("even", "poisson"), help="ramp, stages: default even")


def _content(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("lengths, or whole workloads")
    add = group.add_argument
    add("--prompt-tokens", type=length, metavar="L", help=PROMPT_HELP)
    add("--output-tokens", type=length, metavar="L", help="N or A:B (default: 32)")
    files = group.add_mutually_exclusive_group()
    files.add_argument("--workload", metavar="FILE.yaml[:ID]", help="a workload of a catalog's file")
    files.add_argument("--trace", type=Path, metavar="FILE", help="recorded requests, with --trace-format")
    add("--trace-format", choices=TRACES, metavar="FORMAT", help=", ".join(TRACES))
    add("--speed", type=positive, metavar="X", help="--trace: recorded times, X times as fast (default: 1)")


def _limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("limits: a run that breaks one is stopped, and says so").add_argument
    add(
        "--time-bound",
        type=positive,
        metavar="S",
        help="of the whole run (default: 3600, or --duration and a whole answer where that is longer)",
    )
    in_a_row = RunLimits().consecutive_failures
    text = f"failures in a row (default: {in_a_row}; 0: any number)"
    add("--failures-in-a-row", type=whole, default=in_a_row, metavar="N", help=text)
    add("--error-share", type=share, metavar="X", help="0 to 1, of the last 100 requests that ended")
    add(
        "--in-flight",
        type=count,
        metavar="N",
        help="open loop: more in flight means that the server is saturated",
    )


def _output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("output").add_argument
    add(
        "--journal",
        type=Path,
        metavar="FILE.jsonl",
        help="a new file for all records (default: results/by-hand/TIME.jsonl); see instruments/JOURNAL.md",
    )
    add("--json", action="store_true", help="one JSON document on standard output instead of a table")
    add("--quiet", action="store_true", help="no progress while the load goes")
    add(
        "--metrics-port",
        type=port,
        metavar="P",
        help="the running load's numbers for Prometheus, on 127.0.0.1",
    )


def _number(
    what: str, holds: Callable[[float], bool], read: Callable[[str], float]
) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = read(text)
        except ValueError:
            value = math.nan
        if not holds(value):
            raise argparse.ArgumentTypeError(f"expected {what}, seen {text!r}")
        return value

    return number


positive = _number("a number above 0", lambda value: 0 < value < math.inf, float)
duration = _number("seconds, 0 or more", lambda value: 0 <= value < math.inf, float)
stage_rate = _number("a stage's rate, 0 or more a second", lambda value: 0 <= value < math.inf, float)
stage_seconds = _number("a stage's seconds, above 0", lambda value: 0 < value < math.inf, float)
share = _number("a share from 0 to 1", lambda value: 0 <= value <= 1, float)
count = _number("a whole number from 1 up", lambda value: value >= 1, int)
whole = _number("a whole number from 0 up", lambda value: value >= 0, int)
port = _number("a port, 0 to 65535", lambda value: 0 <= value <= 65_535, int)


def processes(text: str) -> str | int:
    """`auto` or a number."""
    return text if text == "auto" else int(count(text))


def length(text: str) -> int | tuple[int, int]:
    """`N`, or `A:B`."""
    low, colon, high = text.partition(":")
    if not colon:
        return int(count(low))
    bounds = int(count(low)), int(count(high))
    if bounds[0] > bounds[1]:
        raise argparse.ArgumentTypeError(f"expected A:B with A at most B, seen {text!r}")
    return bounds


def stages(text: str) -> tuple[tuple[float, float], ...]:
    """`rate:seconds` with commas between."""
    pairs = [one.partition(":") for one in text.split(",")]
    if not all(colon for _, colon, _ in pairs):
        raise argparse.ArgumentTypeError(f"expected {STAGES_FORM}, seen {text!r}")
    return tuple((stage_rate(rate), stage_seconds(seconds)) for rate, _, seconds in pairs)

"""Flags: the command line, each value checked as it is read."""

import argparse
from collections.abc import Callable
from pathlib import Path

from .faults import Ending
from .form import RoleChunk, UsageRule

NS_PER_MS = 1_000_000
DESCRIPTION = "An engine with dictated timing. Counts are in tokens (words); one seed dictates all chance."


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Reads a whole number of a span."""
    span = f"from {least} up" if most is None else f"from {least} to {most}"

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {span}, seen {text}")
        return value

    return whole_number


def nanoseconds(text: str) -> int:
    """Reads milliseconds, as nanoseconds."""
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"expected milliseconds from 0 up, seen {text}")
    return round(value * NS_PER_MS)


def share(text: str) -> float:
    """Reads a share."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, seen {text}")
    return value


def new_file(text: str) -> Path:
    """Reads the name of a file that can be made."""
    if not Path(text).absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected a file in a folder that exists, seen {text}; try mkdir -p"
        )
    return Path(text)


def old_file(text: str) -> Path:
    """Reads the name of a file that is there."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"expected a file, seen {text}")
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(prog="python -m deploy.simulator", description=DESCRIPTION)
    _server(made)
    _times(made.add_argument_group("times"))
    _forms(made.add_argument_group("forms"))
    _faults(made.add_argument_group("faults"))
    return made


def _server(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=whole(0, 65535), default=8000, help="0 takes a free one and prints it")
    add("--certfile", type=old_file, help="serve TLS with this certificate (PEM); needs --keyfile")
    add("--keyfile", type=old_file, help="its key (PEM)")
    add("--model", default="tiny", help="the served model's name")
    add("--max-model-len", type=whole(2), default=1024, help="context")
    add(
        "--slots",
        type=whole(1),
        default=64,
        help="requests that run at once; the rest wait, first come first served",
    )
    add("--seed", type=int, default=0, help="of jitter and faults: drawn from it and the X-Request-Id alone")
    add(
        "--trace",
        type=new_file,
        help="append one JSON line a request: when each token was due, and when it was written",
    )


def _times(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--ttft-ms", type=nanoseconds, default="8", help="from getting a slot to the first token")
    add(
        "--itl-ms",
        type=nanoseconds,
        help="from one token to the next; 0 is flat out, a write a chunk (default: the step, else 1.5)",
    )
    add("--jitter-ms", type=nanoseconds, default="0", help="each token is late by uniform(0, this)")
    add(
        "--step-ms",
        type=nanoseconds,
        default="0",
        help="tokens leave at the first multiple of this at or after their instant: all streams together",
    )


def _forms(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--tokens-per-chunk", type=whole(1), default=1, help="in each event after the first token's")
    add("--reasoning-tokens", type=whole(0), default=0, help="so many come first, in `delta.reasoning`")
    add("--tool-call", action="store_true", help="chat answers with a tool call instead of content")
    add(
        "--role-chunk",
        choices=[*RoleChunk],
        default=RoleChunk.ON,
        type=RoleChunk,
        help="a chat stream's role event: with the first token, not at all, or with the headers",
    )
    add(
        "--usage",
        choices=[*UsageRule],
        default=UsageRule.ASKED,
        type=UsageRule,
        help="what streams carry, whatever `stream_options` says",
    )
    add(
        "--comment-every-ms",
        type=nanoseconds,
        default="0",
        help="a keep-alive comment (`: ping`) in event streams each so often after arrival; 0 is never",
    )


def _faults(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--error-share", type=share, default="0", help="this share of requests is refused at once")
    add("--error-status", type=whole(400, 599), default=500, help="with this status")
    add("--fault-share", type=share, help="this share of requests has the faults below (default: 1)")
    ending = group.add_mutually_exclusive_group()
    for kind, text in (
        (Ending.ERROR_EVENT, "after so many tokens an error event under the status 200"),
        (Ending.RESET, "after so many tokens the connection is reset"),
        (Ending.CLOSE, "after so many tokens the connection is closed"),
    ):
        ending.add_argument(f"--{kind.value.replace('_', '-')}-after", type=whole(0), metavar="K", help=text)
    add("--stall-after", type=whole(0), metavar="K", help="after so many tokens nothing comes for --stall-ms")
    add("--stall-ms", type=nanoseconds, default="0")
    add(
        "--slow-header-ms",
        type=nanoseconds,
        default="0",
        help="a stream's status line and headers come in two pieces, after half of this and after this",
    )

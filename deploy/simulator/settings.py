"""Settings: everything that dictates what one simulator does, read once from the command line."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """One simulator's orders.

    Times are integer nanoseconds; `api_key` empty means that no key is asked for.
    """

    host: str
    port: int
    model: str
    max_model_len: int
    ttft_ns: int
    itl_ns: int
    jitter_ns: int
    slots: int
    seed: int
    tokens_per_chunk: int
    trace: Path | None
    api_key: str


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    span = f"from {least} up" if most is None else f"from {least} to {most}"

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {span}, seen {text}")
        return value

    return whole_number


def _nanoseconds(text: str) -> int:
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"expected milliseconds from 0 up, seen {text}")
    return round(value * NS_PER_MS)


def _new_file(text: str) -> Path:
    if not Path(text).absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected a file in a folder that exists, seen {text}; try mkdir -p"
        )
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.simulator", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=_whole(0, 65535), default=8000, help="0 takes a free one and prints it")
    add("--model", default="tiny", help="the served model's name")
    add("--max-model-len", type=_whole(2), default=1024, help="context, in tokens (words)")
    add("--ttft-ms", type=_nanoseconds, default="8", help="from getting a slot to the first token")
    add("--itl-ms", type=_nanoseconds, default="1.5", help="from one token to the next")
    add("--jitter-ms", type=_nanoseconds, default="0", help="each token is late by uniform(0, this)")
    add(
        "--slots",
        type=_whole(1),
        default=64,
        help="requests that run at once; the rest wait, first come first served",
    )
    add("--seed", type=int, default=0, help="of the jitter")
    add("--tokens-per-chunk", type=_whole(1), default=1, help="tokens in each event after the first token's")
    add(
        "--trace",
        type=_new_file,
        default=None,
        help="append one JSON line a request: when each token was written",
    )
    return parser


def read_settings(argv: Sequence[str] | None = None) -> Settings:
    """Settings from the command line and, for the key, from VLLM_API_KEY (as vLLM reads it).

    Exits 2 on nonsense.
    """
    given = _parser().parse_args(argv)
    return Settings(
        host=given.host,
        port=given.port,
        model=given.model,
        max_model_len=given.max_model_len,
        ttft_ns=given.ttft_ms,
        itl_ns=given.itl_ms,
        jitter_ns=given.jitter_ms,
        slots=given.slots,
        seed=given.seed,
        tokens_per_chunk=given.tokens_per_chunk,
        trace=given.trace,
        api_key=os.environ.get("VLLM_API_KEY", ""),
    )

"""The process behind vllm_parser: runs in .engine, reads batches of argument lists and answers each.

A line in is a JSON list of argument lists; the line out is a JSON list with, for each, null or why vLLM
refuses it. The parser, the checks behind it and the validation of histogram buckets are vLLM's own.
"""

import contextlib
import io
import json
import os
import sys
from typing import Any

from vllm.config.observability import ObservabilityConfig  # type: ignore[import-not-found]
from vllm.entrypoints.cli.serve import ServeSubcommand  # type: ignore[import-not-found]
from vllm.utils.argparse_utils import FlexibleArgumentParser  # type: ignore[import-not-found]


def make_parser() -> tuple[Any, Any]:
    """`vllm`'s parser with its one subcommand `serve`, and that subcommand."""
    parser = FlexibleArgumentParser(prog="vllm")
    command = ServeSubcommand()
    command.subparser_init(parser.add_subparsers(dest="subparser"))
    return parser, command


def rejection(parser: Any, command: Any, argv: list[str]) -> str | None:
    """Why `vllm serve ARGV` would end before it loads anything; None if it would not."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            found = parser.parse_args(["serve", *argv])
            command.validate(found)
            # vLLM checks the families and bounds later, where it makes its whole configuration.
            ObservabilityConfig(custom_histogram_buckets=found.custom_histogram_buckets)
    except SystemExit as ended:
        lines = [line for line in said.getvalue().splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {ended.code}"
    except Exception as error:  # whatever it is, vLLM itself would end by it
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    # What anything prints meanwhile must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    parser, command = make_parser()
    for line in sys.stdin:
        answers.write(json.dumps([rejection(parser, command, argv) for argv in json.loads(line)]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

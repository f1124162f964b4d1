"""`python -m deploy.cost`: tables of the listed stacks, or of one with a throughput of one's own."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deploy.cost import parts, table
from deploy.cost.prices import DEFAULT, Prices, PricesError, Throughput, load


def main(words: list[str] | None = None) -> int:
    """Print Markdown; exit 2 where the prices or the words cannot be used."""
    asked = _parser().parse_args(words)
    try:
        prices = load(asked.prices)
        print(_wanted(prices, asked), end="")
    except PricesError as error:
        print(f"{asked.prices}: {error}", file=sys.stderr)
        return 2
    return 0


def _wanted(prices: Prices, asked: argparse.Namespace) -> str:
    if asked.json:
        return json.dumps(parts.bill_of(prices, dict(asked.part))) + "\n"
    if asked.part:
        raise PricesError("--part is priced with --json")
    if asked.stack is None and asked.tokens_per_s is None:
        return table.document(prices)
    if asked.stack not in prices.stacks or asked.tokens_per_s is None:
        raise PricesError(f"--stack ({', '.join(prices.stacks)}) and --tokens-per-s go together")
    mine = Throughput(asked.stack, asked.tokens_per_s, "as given", "--tokens-per-s")
    uses = (asked.utilisation,)
    pieces = (table.parts(prices, asked.stack, asked.utilisation), table.tokens(prices, [mine], uses))
    return "\n\n".join(pieces) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.cost", description=__doc__)
    parser.add_argument("--prices", type=Path, default=DEFAULT, metavar="FILE", help="another file of prices")
    parser.add_argument("--stack", metavar="NAME", help="one stack, with --tokens-per-s")
    parser.add_argument(
        "--tokens-per-s", type=_positive, metavar="N", help="output tokens/s measured under load"
    )
    parser.add_argument(
        "--utilisation", type=_share, default=0.5, metavar="U", help="share of it that is asked for (0.5)"
    )
    parser.add_argument("--json", action="store_true", help="an hour of the parts given, for a program")
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        type=_part,
        metavar="NAME=N",
        help="N instances, services or GiB",
    )
    return parser


def _part(text: str) -> tuple[str, float]:
    name, equals, count = text.rpartition("=")
    try:
        number = float(count)
    except ValueError:
        number = -1.0
    if not (name and equals and 0 <= number < float("inf")):
        raise argparse.ArgumentTypeError(f"expected NAME=N, with a number of 0 or more, got {text!r}")
    return name, number


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, 1 at most, got {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())

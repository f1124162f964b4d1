"""The tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploy.cost import bill
from deploy.cost.prices import Prices, Throughput

UTILISATIONS = (1.0, 0.5, 0.1)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, all others to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def stacks(prices: Prices) -> str:
    """A line a stack: an hour, a month, and what of it is idle."""
    rows = [
        [
            f"`{name}`: {stack.what}",
            f"{bill.price_per_hour(prices, stack, 0):.3f}",
            f"{bill.price_per_hour(prices, stack, 1):.3f}",
            f"{bill.price_per_hour(prices, stack, 0.5) * prices.hours_per_month:.0f}",
            f"{bill.idle_share(prices, stack, 0.5):.0%}",
        ]
        for name, stack in prices.stacks.items()
    ]
    heads = ["stack", "an hour, idle", "an hour, busy", "a month, half busy", "of which idle"]
    return table(heads, rows)


def parts(prices: Prices, name: str, utilisation: float = 1.0) -> str:
    """The lines of one stack's hour."""
    lines = bill.hour(prices, prices.stacks[name], utilisation)
    rows = [[line.what, f"{line.count:g}", f"{line.per_hour:.4f}"] for line in lines]
    total = bill.price_per_hour(prices, prices.stacks[name], utilisation)
    return table(["part", "count", "an hour"], [*rows, ["sum", "", f"{total:.4f}"]])


def tokens(prices: Prices, throughputs: Sequence[Throughput], utilisations: Sequence[float]) -> str:
    """A line a throughput: a million tokens at each utilisation, and a million more."""
    rows = []
    for one in throughputs:
        stack = prices.stacks[one.stack]
        by_use = [
            f"{bill.per_million(bill.price_per_hour(prices, stack, use), one.tokens_per_s, use):.3f}"
            for use in utilisations
        ]
        more = f"{bill.marginal_per_million(prices, stack, one.tokens_per_s):.3f}"
        what = f"`{one.stack}`: {one.what} ({one.source})"
        rows.append([what, f"{one.tokens_per_s:,.0f}", *by_use, more])
    heads = ["load", "tokens/s", *[f"at {use:.0%}" for use in utilisations], "a million more"]
    return table(heads, rows)


def document(prices: Prices) -> str:
    """All tables, with what they rest on; this stands in the guide."""
    date = f"List prices of {prices.region} in {prices.currency} as of {prices.as_of}, not looked up live:"
    pieces = [
        f"{date} check before use.",
        stacks(prices),
        "A million output tokens:",
        tokens(prices, prices.throughputs, UTILISATIONS),
        *(f"An hour of `{name}`, busy:\n\n{parts(prices, name)}" for name in prices.stacks),
    ]
    return "\n\n".join(pieces) + "\n"

"""Formulas: what an hour of a stack costs, and a million tokens."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.cost.prices import Host, Prices, StackParts

SECONDS_PER_HOUR = 3600
HOURS_PER_YEAR = 8760
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an hour's bill."""

    what: str
    count: float
    per_hour: float


def hour(prices: Prices, stack: StackParts, utilisation: float) -> list[Line]:
    """What one hour costs, by part; `utilisation` (0 to 1) matters to a host's power alone."""
    month = prices.hours_per_month
    each = {**prices.service_hour, **{name: value / month for name, value in prices.service_month.items()}}
    lines = [Line(name, count, count * prices.instance_hour[name]) for name, count in stack.instances.items()]
    lines += [Line(name, count, count * each[name]) for name, count in stack.services.items()]
    lines += [
        Line(f"{name}, GiB", gib, gib * prices.gib_month[name] / month) for name, gib in stack.gib.items()
    ]
    return lines + (_host(prices, stack.host, utilisation) if stack.host else [])


def _host(prices: Prices, host: Host, utilisation: float) -> list[Line]:
    watts = host.idle_w + utilisation * (host.busy_w - host.idle_w)
    return [
        Line("power, W", watts, watts / 1000 * prices.power_kwh),
        Line("hardware", 1, host.hardware / (host.years * HOURS_PER_YEAR)),
    ]


def price_per_hour(prices: Prices, stack: StackParts, utilisation: float) -> float:
    """The sum of an hour's lines."""
    return sum(line.per_hour for line in hour(prices, stack, utilisation))


def per_million(price: float, tokens_per_s: float, utilisation: float) -> float:
    """price_per_hour / (tokens_per_s × 3600 × utilisation) × 10⁶.

    `tokens_per_s` is what the stack makes under load, `utilisation` the share of it that is asked for.
    """
    return price / (tokens_per_s * SECONDS_PER_HOUR * utilisation) * MILLION


def marginal_per_million(prices: Prices, stack: StackParts, tokens_per_s: float) -> float:
    """What a million more tokens add to the bill of a stack that runs anyway.

    Own host: the power between rest and full load, as long as the tokens take. Cloud: bytes to the internet.
    """
    if stack.host is None:
        return prices.bytes_per_token * MILLION / 1e9 * prices.gigabyte["internet-out"]
    kilowatts = (stack.host.busy_w - stack.host.idle_w) / 1000
    return kilowatts * prices.power_kwh * MILLION / (tokens_per_s * SECONDS_PER_HOUR)


def idle_share(prices: Prices, stack: StackParts, utilisation: float) -> float:
    """The share of an hour's bill that an hour without a single token would cost as well."""
    return price_per_hour(prices, stack, 0) / price_per_hour(prices, stack, utilisation)

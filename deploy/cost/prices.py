"""The prices and stacks of a YAML file, checked whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

DEFAULT = Path(__file__).with_name("prices.yaml")

_WHOLE = ConfigDict(extra="forbid")
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class PricesError(Exception):
    """The file cannot be used. The text has a line a field: its path, and what is wrong."""


@dataclass(frozen=True, config=_WHOLE)
class Host:
    """A machine of one's own: watts at rest and under full load, and its purchase, spread over its years."""

    idle_w: Money
    busy_w: Money
    hardware: Money
    years: Positive


@dataclass(frozen=True, config=_WHOLE)
class StackParts:
    """What a stack consists of: counts of instances and services, GiB of storage; or a host."""

    what: str
    instances: Mapping[str, Count] = field(default_factory=dict)
    services: Mapping[str, Count] = field(default_factory=dict)
    gib: Mapping[str, Positive] = field(default_factory=dict)
    host: Host | None = None


@dataclass(frozen=True, config=_WHOLE)
class Throughput:
    """Output tokens a second of a whole stack under load, and where the number comes from."""

    stack: str
    tokens_per_s: Positive
    what: str
    source: str


@dataclass(frozen=True, config=_WHOLE)
class Prices:
    """One file."""

    as_of: datetime.date
    region: str
    currency: str
    source: str
    hours_per_month: Positive
    instance_hour: Mapping[str, Money]
    service_hour: Mapping[str, Money]
    service_month: Mapping[str, Money]
    gib_month: Mapping[str, Money]
    gigabyte: Mapping[str, Money]
    power_kwh: Money
    bytes_per_token: Positive
    stacks: Mapping[str, StackParts]
    throughputs: tuple[Throughput, ...] = ()


def load(path: Path = DEFAULT) -> Prices:
    """Read `path`; PricesError where a field is missing, unknown or out of range, or a price is missing."""
    try:
        prices = TypeAdapter(Prices).validate_python(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise PricesError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise PricesError("\n".join(lines)) from error
    if missing := _missing(prices):
        raise PricesError("\n".join(missing))
    return prices


def _missing(prices: Prices) -> list[str]:
    """What a stack consists of and no price is listed for, and throughputs of stacks that are not there."""
    wanted = {
        "instances": prices.instance_hour,
        "services": {**prices.service_hour, **prices.service_month},
        "gib": prices.gib_month,
    }
    found = [
        f"stacks.{name}.{kind}.{part}: no price is listed"
        for name, stack in prices.stacks.items()
        for kind, listed in wanted.items()
        for part in getattr(stack, kind)
        if part not in listed
    ]
    strange = [one.stack for one in prices.throughputs if one.stack not in prices.stacks]
    return found + [f"throughputs: no stack {name}" for name in strange]

"""Steady arrivals: closed loop, constant, Poisson, gamma, bursts, and recorded times again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as counting
from itertools import pairwise
from random import Random
from typing import Any, ClassVar, Literal, Protocol

from instruments.clock import NANOSECONDS


class OpenLoop(Protocol):
    """Requests that are due whether or not earlier ones were answered."""

    def due_ns(self, seed: int) -> Iterator[int]:
        """Nanoseconds after the start of the run, never decreasing; ends where the process ends.

        The same seed gives the same instants; processes without chance give them for every seed.
        """
        ...


def positive(**told: float) -> None:
    """ValueError for the first value that is not a finite number above zero."""
    for name, value in told.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be > 0, got {value}")


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A number of users, each of whom sends again as soon as answered (and `think_s` later).

    A closed loop slows down with the server and so hides queueing: it serves saturation
    sweeps, not latency claims under a stated load.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    users: int
    think_s: float = 0.0
    ramp_s: float = 0.0  # user u of n begins ramp_s * u / n after the start
    kind: Literal["closed"] = "closed"

    def __post_init__(self) -> None:
        if self.users < 1 or not (0 <= self.think_s < math.inf and 0 <= self.ramp_s < math.inf):
            raise ValueError(f"users must be >= 1, think_s and ramp_s >= 0, got {self}")


@dataclass(frozen=True, slots=True)
class Constant:
    """Evenly spaced arrivals; the first is due at the start."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    rate_per_s: float
    kind: Literal["constant"] = "constant"

    def __post_init__(self) -> None:
        positive(rate_per_s=self.rate_per_s)

    def due_ns(self, seed: int) -> Iterator[int]:
        # Multiplied, not accumulated: the thousandth arrival carries no sum of rounding errors.
        return (round(index * NANOSECONDS / self.rate_per_s) for index in counting())


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent users without number: gaps are exponential, their mean and standard deviation equal."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    rate_per_s: float
    kind: Literal["poisson"] = "poisson"

    def __post_init__(self) -> None:
        positive(rate_per_s=self.rate_per_s)

    def due_ns(self, seed: int) -> Iterator[int]:
        rng, mean_ns, due_ns = Random(f"poisson/{seed}"), NANOSECONDS / self.rate_per_s, 0
        while True:
            due_ns += round(rng.expovariate(1.0) * mean_ns)  # whole nanoseconds add up without error
            yield due_ns


@dataclass(frozen=True, slots=True)
class Gamma:
    """Gaps of a gamma distribution with mean 1 / rate_per_s.

    `burstiness` is its shape, as in `vllm bench serve --burstiness`: 1 is Poisson, below 1 arrivals come
    in clumps, above 1 they are more regular. The gaps' squared coefficient of variation is 1 / burstiness.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    rate_per_s: float
    burstiness: float
    kind: Literal["gamma"] = "gamma"

    def __post_init__(self) -> None:
        positive(rate_per_s=self.rate_per_s, burstiness=self.burstiness)

    def due_ns(self, seed: int) -> Iterator[int]:
        rng, scale_ns, due_ns = Random(f"gamma/{seed}"), NANOSECONDS / self.rate_per_s / self.burstiness, 0
        while True:
            due_ns += round(rng.gammavariate(self.burstiness, 1.0) * scale_ns)
            yield due_ns


@dataclass(frozen=True, slots=True)
class Burst:
    """`size` requests at one instant every `every_s`, `count` times or endlessly; the first at the start."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    size: int
    every_s: float
    count: int | None = None
    kind: Literal["burst"] = "burst"

    def __post_init__(self) -> None:
        positive(size=self.size, every_s=self.every_s, count=1 if self.count is None else self.count)

    def due_ns(self, seed: int) -> Iterator[int]:
        for number in counting() if self.count is None else range(self.count):
            due_ns = round(number * self.every_s * NANOSECONDS)
            yield from (due_ns for _ in range(self.size))


@dataclass(frozen=True, slots=True)
class Replay:
    """Recorded times again: seconds after the start, never decreasing; `speed` 2 is twice as fast."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    times_s: tuple[float, ...]
    speed: float = 1.0
    kind: Literal["replay"] = "replay"

    def __post_init__(self) -> None:
        positive(speed=self.speed)
        if not all(0 <= time_s < math.inf for time_s in self.times_s):
            raise ValueError("times_s must be finite and >= 0")
        if any(later < earlier for earlier, later in pairwise(self.times_s)):
            raise ValueError("times_s must never decrease")

    def due_ns(self, seed: int) -> Iterator[int]:
        return (round(time_s * NANOSECONDS / self.speed) for time_s in self.times_s)

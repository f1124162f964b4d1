"""Arrivals whose rate changes: ramps and stages, by inverting the rate's integral.

With R(t) the integral of the rate from the start to t, request k is due where R(t) = k ("even"), or where
R(t) is the k-th instant of a Poisson process of rate one ("poisson"): the standard construction of an
inhomogeneous Poisson process (Çinlar, Introduction to Stochastic Processes, 1975, section 4.7).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as counting
from random import Random
from typing import Any, ClassVar, Literal

from instruments.arrivals.processes import positive
from instruments.clock import NANOSECONDS

Spacing = Literal["even", "poisson"]
HAIR = 1e-9  # of a request: 0.1/s for 30 s are three requests, whatever the product is in binary


def counts(spacing: Spacing, seed_text: str) -> Iterator[float]:
    """The values of R(t) at which requests are due."""
    if spacing == "even":
        yield from counting()
    rng, reached = Random(seed_text), 0.0
    while True:
        reached += rng.expovariate(1.0)
        yield reached


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rate that moves from one value to another within `duration_s`, and ends there.

    "linear": the rate grows by equal steps in equal times. "exponential": by equal factors.
    Even spacing's first request is due at the start; floor(R(duration_s)) or one more are due in all.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    from_per_s: float
    to_per_s: float
    duration_s: float
    shape: Literal["linear", "exponential"] = "linear"
    spacing: Spacing = "even"
    kind: Literal["ramp"] = "ramp"

    def __post_init__(self) -> None:
        positive(duration_s=self.duration_s)
        if self.shape == "exponential":
            positive(from_per_s=self.from_per_s, to_per_s=self.to_per_s)
        elif min(self.from_per_s, self.to_per_s) < 0 or not 0 < self.from_per_s + self.to_per_s < math.inf:
            raise ValueError(f"from_per_s and to_per_s must be >= 0, and one of them > 0, got {self}")

    @property
    def requests(self) -> float:
        """R(duration_s): how many requests the ramp holds."""
        if self.shape == "linear" or self._growth == 0:
            return (self.from_per_s + self.to_per_s) / 2 * self.duration_s
        return (self.to_per_s - self.from_per_s) * self.duration_s / self._growth

    def due_ns(self, seed: int) -> Iterator[int]:
        total = self.requests - HAIR
        for reached in counts(self.spacing, f"ramp/{seed}"):
            if reached >= total:
                return
            yield round(self._when_s(reached) * NANOSECONDS)

    @property
    def _growth(self) -> float:
        return math.log(self.to_per_s / self.from_per_s)

    def _when_s(self, reached: float) -> float:
        start, length_s = self.from_per_s, self.duration_s
        if reached == 0:
            return 0.0
        if self.shape == "linear":
            # The root of the quadratic in the form that does not cancel when both rates are near.
            slope = (self.to_per_s - start) / length_s
            return 2 * reached / (start + math.sqrt(max(0.0, start * start + 2 * slope * reached)))
        growth = self._growth
        if growth == 0:
            return reached / start
        return length_s / growth * math.log1p(reached * growth / (start * length_s))


@dataclass(frozen=True, slots=True)
class Stage:
    """A rate, held for a time; a rate of 0 is a pause."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    rate_per_s: float
    duration_s: float

    def __post_init__(self) -> None:
        positive(duration_s=self.duration_s)
        if not 0 <= self.rate_per_s < math.inf:
            raise ValueError(f"rate_per_s must be >= 0, got {self.rate_per_s}")


@dataclass(frozen=True, slots=True)
class Stages:
    """Rates one after the other; ends with the last stage."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    stages: tuple[Stage, ...]
    spacing: Spacing = "even"
    kind: Literal["stages"] = "stages"

    def __post_init__(self) -> None:
        if not any(stage.rate_per_s for stage in self.stages):
            raise ValueError("at least one stage must have a rate above 0")

    def due_ns(self, seed: int) -> Iterator[int]:
        reached_by = counts(self.spacing, f"stages/{seed}")
        reached, base, start_s = next(reached_by), 0.0, 0.0
        for stage in self.stages:
            end = base + stage.rate_per_s * stage.duration_s
            while reached < end - HAIR:
                yield round((start_s + max(0.0, reached - base) / stage.rate_per_s) * NANOSECONDS)
                reached = next(reached_by)
            base, start_s = end, start_s + stage.duration_s

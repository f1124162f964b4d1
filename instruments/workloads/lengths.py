"""How long prompts and answers are: a number of tokens, or a distribution of them.

In YAML: `64`, `{uniform: [32, 96]}`, `{normal: {mean: 64, sd: 16, max: 128}}`,
`{lognormal: {median: 64, sigma: 0.7, max: 2048}}`, `{empirical: [12, 40, 40]}` or, with weights,
`{empirical: [[12, 1], [40, 2]]}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from instruments.arrivals.choice import ByKey

LEAST_INSIDE = 0.01  # share of a distribution that must lie within its bounds, or drawing takes too long


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every whole number from the first to the second, both included, equally often."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    uniform: tuple[int, int]
    kind: Literal["uniform"] = "uniform"

    def __post_init__(self) -> None:
        _ordered(*self.uniform)


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal distribution, rounded; what falls outside of `min` to `max` is drawn again."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    mean: float
    sd: float
    max: int
    min: int = 1
    kind: Literal["normal"] = "normal"

    def __post_init__(self) -> None:
        _ordered(self.min, self.max)
        if not (0 < self.mean < math.inf and 0 < self.sd < math.inf):
            raise ValueError(f"mean and sd must be > 0, got {self}")
        _within((self.min - 0.5 - self.mean) / self.sd, (self.max + 0.5 - self.mean) / self.sd, self)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """exp of a normal distribution of mean ln(median) and deviation sigma; rounded, drawn again as that."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    median: float
    sigma: float
    max: int
    min: int = 1
    kind: Literal["lognormal"] = "lognormal"

    def __post_init__(self) -> None:
        _ordered(self.min, self.max)
        if not (0 < self.median < math.inf and 0 < self.sigma < math.inf):
            raise ValueError(f"median and sigma must be > 0, got {self}")
        low, high = (math.log(bound / self.median) / self.sigma for bound in (self.min - 0.5, self.max + 0.5))
        _within(low, high, self)


@dataclass(frozen=True, slots=True)
class Empirical:
    """Lengths that were seen, each as often as it stands there, or as its weight says."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    empirical: tuple[int | tuple[int, float], ...]
    kind: Literal["empirical"] = "empirical"

    def __post_init__(self) -> None:
        lengths, weights = self.parts
        if not lengths or min(lengths) < 1:
            raise ValueError("lengths must be at least 1, and there must be one")
        if not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
            raise ValueError("weights must be >= 0, and one of them > 0")

    @property
    def parts(self) -> tuple[list[int], list[float]]:
        """Lengths, and the weight of each."""
        pairs = [(one, 1.0) if isinstance(one, int) else one for one in self.empirical]
        return [length for length, _ in pairs], [weight for _, weight in pairs]


Length = Annotated[int | Uniform | Normal | Lognormal | Empirical, ByKey()]
Draw = Callable[[Random], int]


def drawing(length: Length) -> Draw:
    """A function that draws from a random source; prepared once, called for every request."""
    match length:
        case Uniform(uniform=(low, high)):
            span = high - low + 1
            return lambda rng: low + int(rng.random() * span)
        case Normal():
            mean, sd = length.mean, length.sd
            return _again(lambda rng: rng.gauss(mean, sd), length.min, length.max)
        case Lognormal():
            mu, sigma = math.log(length.median), length.sigma
            return _again(lambda rng: math.exp(rng.gauss(mu, sigma)), length.min, length.max)
        case Empirical():
            return _weighted(*length.parts)
    fixed = length
    return lambda _: fixed


def shortest(length: Length) -> int:
    """The smallest length that can be drawn. ValueError for a fixed length below 1."""
    match length:
        case Uniform(uniform=(low, _)):
            return low
        case Normal() | Lognormal():
            return length.min
        case Empirical():
            return min(length.parts[0])
    if length < 1:
        raise ValueError(f"a length must be at least 1 token, got {length}")
    return length


def _again(draw: Callable[[Random], float], low: int, high: int) -> Draw:
    def bounded(rng: Random) -> int:
        while True:  # ends: at least LEAST_INSIDE of all draws lie within
            drawn = round(draw(rng))
            if low <= drawn <= high:
                return drawn

    return bounded


def _weighted(lengths: Sequence[int], weights: Sequence[float]) -> Draw:
    sums: list[float] = []
    for weight in weights:
        sums.append((sums[-1] if sums else 0.0) + weight)
    return lambda rng: rng.choices(lengths, cum_weights=sums)[0]


def _ordered(low: int, high: int) -> None:
    if not 1 <= low <= high:
        raise ValueError(f"a length is at least 1, and its bounds are in order, got {low} to {high}")


def _within(low: float, high: float, told: object) -> None:
    """Bounds in standard deviations from the mean."""
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    if inside < LEAST_INSIDE:
        raise ValueError(f"less than 1 % of the distribution lies between its bounds, got {told}")

"""Laws: latencies whose true quantiles are known in closed form, drawn in the order of the requests.

The unit is the law's own scale: a limit is set where the truth is wanted, `limit_at`. No law here has jumps,
so that a quantile and the share above it say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Draw = Callable[[int], Values]  # the next n latencies of one system

NORMAL = NormalDist()
_ECHOES = 6  # 2^6 terms of an AR(1): at 0.53 the next one is worth 2e-18


class Law(Protocol):
    """One system's latencies. `start` begins one run of it; `share_over` and `quantile` are its truth."""

    @property
    def name(self) -> str: ...

    def start(self, random: np.random.Generator) -> Draw: ...

    def share_over(self, limit: float) -> float: ...

    def quantile(self, p: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Lognormal:
    """exp(sigma Z): what most latencies of a healthy server look like."""

    sigma: float = 0.5
    name: str = "lognormal"

    def start(self, random: np.random.Generator) -> Draw:
        return lambda n: np.exp(self.sigma * random.standard_normal(n))

    def share_over(self, limit: float) -> float:
        return 1 - NORMAL.cdf(math.log(limit) / self.sigma)

    def quantile(self, p: float) -> float:
        return math.exp(self.sigma * NORMAL.inv_cdf(p))


@dataclass(frozen=True, slots=True)
class Bimodal:
    """A share of the requests is slower by a factor, as those that miss a cache are; each mode lognormal."""

    slow_share: float = 0.1
    factor: float = 3.0
    sigma: float = 0.4
    name: str = "bimodal"

    def start(self, random: np.random.Generator) -> Draw:
        def draw(n: int) -> Values:
            slow = random.random(n) < self.slow_share
            return np.exp(self.sigma * random.standard_normal(n)) * np.where(slow, self.factor, 1.0)

        return draw

    def share_over(self, limit: float) -> float:
        fast, slow = (1 - NORMAL.cdf(math.log(limit / mode) / self.sigma) for mode in (1.0, self.factor))
        return (1 - self.slow_share) * fast + self.slow_share * slow

    def quantile(self, p: float) -> float:
        """By halving, as a mixture's quantile has no closed form; its share has. To 1e-13 of itself."""
        low, high = (math.log(mode) for mode in (0.01, 100.0 * self.factor))
        while high - low > 1e-13:
            middle = (low + high) / 2
            if self.share_over(math.exp(middle)) > 1 - p:
                low = middle
            else:
                high = middle
        return math.exp(high)


@dataclass(frozen=True, slots=True)
class Pareto:
    """P(X > x) = x^−alpha above 1: at alpha 2 the tail is so heavy that there is no variance."""

    alpha: float = 2.0
    name: str = "heavy-tailed"

    def start(self, random: np.random.Generator) -> Draw:
        return lambda n: np.exp(random.standard_exponential(n) / self.alpha)

    def share_over(self, limit: float) -> float:
        return min(1.0, math.exp(-self.alpha * math.log(limit)))

    def quantile(self, p: float) -> float:
        return math.exp(-math.log1p(-p) / self.alpha)


@dataclass(frozen=True, slots=True)
class Autocorrelated:
    """A lognormal of which neighbours hang together: exp(sigma Z) over a Gaussian AR(1).

    corr(exp(sigma Z), exp(sigma Z')) = (exp(sigma² r) − 1) / (exp(sigma²) − 1) for corr(Z, Z') = r, which
    is turned round for the lag-1 correlation that is wanted of the latencies.
    """

    sigma: float = 0.5
    lag_one: float = 0.5
    name: str = "autocorrelated"

    @property
    def of_normal(self) -> float:
        """The lag-1 correlation of the Gaussian beneath: 0.531 for 0.5 at sigma 0.5."""
        return math.log1p(self.lag_one * math.expm1(self.sigma**2)) / self.sigma**2

    def start(self, random: np.random.Generator) -> Draw:
        r, last = self.of_normal, float(random.standard_normal())

        def draw(n: int) -> Values:
            nonlocal last
            z = random.standard_normal(n) * math.sqrt(1 - r * r)
            z[0] += r * last
            for echo in range(_ECHOES):  # (1 + rL)(1 + r²L²)(1 + r⁴L⁴)… = the sum of r^j L^j
                back = 2**echo
                if back < n:
                    z[back:] += r**back * z[:-back]
            last = float(z[-1])
            return np.exp(self.sigma * z)

        return draw

    def share_over(self, limit: float) -> float:
        return Lognormal(self.sigma).share_over(limit)

    def quantile(self, p: float) -> float:
        return Lognormal(self.sigma).quantile(p)


@dataclass(frozen=True, slots=True)
class Settling:
    """A lognormal after a warm-up: at first (1 + excess) times as slow, fading with e^(−i/requests).

    Its truth is that of the settled system.
    """

    sigma: float = 0.5
    excess: float = 2.0
    requests: float = 200.0
    name: str = "settling"

    def start(self, random: np.random.Generator) -> Draw:
        after = Lognormal(self.sigma).start(random)
        return _modulated(after, lambda i: 1 + self.excess * np.exp(-i / self.requests))

    def share_over(self, limit: float) -> float:
        return Lognormal(self.sigma).share_over(limit)

    def quantile(self, p: float) -> float:
        return Lognormal(self.sigma).quantile(p)


@dataclass(frozen=True, slots=True)
class Rising:
    """A lognormal that never settles: slower by its first value each `doubling` requests, without end.

    Its truth is that of the first request; what a run of n has seen on average is `share_over_until`.
    """

    sigma: float = 0.5
    doubling: float = 5_000.0
    name: str = "rising"

    def start(self, random: np.random.Generator) -> Draw:
        return _modulated(Lognormal(self.sigma).start(random), lambda i: 1 + i / self.doubling)

    def share_over(self, limit: float) -> float:
        return Lognormal(self.sigma).share_over(limit)

    def share_over_at(self, limit: float, i: float) -> float:
        """The share over the limit of requests such as the i-th."""
        return self.share_over(limit / (1 + i / self.doubling))

    def share_over_until(self, limit: float, n: int) -> float:
        """The expected share over the limit of the first n requests, by the midpoints of 64 parts."""
        return sum(self.share_over_at(limit, (part + 0.5) / 64 * n) for part in range(64)) / 64

    def quantile(self, p: float) -> float:
        return Lognormal(self.sigma).quantile(p)


def _modulated(draw: Draw, factor: Callable[[Values], Values]) -> Draw:
    done = 0

    def next_ones(n: int) -> Values:
        nonlocal done
        done += n
        return draw(n) * factor(np.arange(done - n, done, dtype=np.float64))

    return next_ones


def limit_at(law: Law, p: float, place: float) -> float:
    """The limit beside which the true p-quantile lies at 1 + `place` times it: −0.05 is 5 % inside."""
    return law.quantile(p) / (1 + place)


INDEPENDENT: tuple[Law, ...] = (Lognormal(), Bimodal(), Pareto())
CORRELATED, SETTLING = Autocorrelated(), Settling()

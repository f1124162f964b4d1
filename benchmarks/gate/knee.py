"""Knee: the search for capacity on a simulated server whose knee is known, one run a probe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gate.figures import Figure, Share, Size, at_least, at_most
from benchmarks.gate.laws import Draw, Lognormal
from benchmarks.gate.sampling import Plan, until_decided
from benchmarks.gate.trials import Trial
from instruments.slo.capacity import PROBES_MOST, CapacitySearch
from instruments.statistics.shares import Looks, Rule

P, LIMIT_S = 0.95, 1.0
LOWEST, HIGHEST = 1, 256
KNEES = (1, 200)
PROBE = Plan(500, 20_000)  # one run at one number of users
IDLE_SHARES = (0.2, 0.7)  # of the limit, that the p95 of the idle server is at


@dataclass(frozen=True, slots=True)
class Server:
    """TTFT is lognormal, its median that of an idle server over 1 − users / saturated_at, as of a queue."""

    idle_s: float
    saturated_at: float
    sigma: float = 0.5

    @classmethod
    def with_knee(cls, knee: float, idle_share: float) -> Server:
        """The p95 reaches the limit at `knee` users; idle it is at `idle_share` of the limit."""
        idle_s = idle_share * LIMIT_S / Lognormal(0.5).quantile(P)
        return cls(idle_s, knee / (1 - idle_share))

    @property
    def knee(self) -> int:
        """The highest number of users at which the p95 keeps the limit, by turning the law round."""
        idle_p95_s = self.idle_s * Lognormal(self.sigma).quantile(P)
        return math.floor(self.saturated_at * (1 - idle_p95_s / LIMIT_S))

    def start(self, users: float, random: np.random.Generator) -> Draw:
        """Latencies in seconds; a server beyond saturation answers, but a thousand times as slowly."""
        free = max(1e-3, 1 - users / self.saturated_at)
        draw = Lognormal(self.sigma).start(random)
        return lambda n: self.idle_s / free * draw(n)


@dataclass(frozen=True, slots=True)
class Search:
    """One search of a server with a knee drawn between 1 and 200 users."""

    name: str = "capacity"
    plan: Plan = PROBE

    def once(self, random: np.random.Generator, repetition: int) -> Trial:
        knee = random.integers(KNEES[0], KNEES[1] + 1) + random.random()
        server = Server.with_knee(knee, random.uniform(*IDLE_SHARES))
        search, requests, runs = CapacitySearch(LOWEST, HIGHEST), 0, 0
        while (users := search.next_level()) is not None:
            rule = Rule(1 - P, search.probe_error, search.probe_error, Looks.OPEN)
            state, taken = until_decided(server.start(users, random), LIMIT_S, rule, self.plan)
            search.tell(users, state)
            requests, runs = requests + taken, runs + 1
        found = search.result()
        low, high = found.low or 0, HIGHEST if found.high is None else found.high
        letter = "W" if low <= server.knee <= high else "O"
        closed = "C" if found.low is not None and found.high is not None else "U"
        return letter + closed, (runs, requests, round(high - low), server.knee)


def capacity(trials: Sequence[Trial]) -> Iterator[Figure]:
    section, n = "capacity search, the knee drawn from 1 to 200 users", len(trials)
    within = sum(letters[0] == "W" for letters, _ in trials)
    enclosed = sum(letters[1] == "C" for letters, _ in trials)
    runs, requests, widths, knees = (list(column) for column in zip(*(t for _, t in trials), strict=True))
    many = sum(run > PROBES_MOST for run in runs)
    yield Share(section, "true knee inside the reported interval", within, n, at_least(0.95))
    yield Share(section, f"searches of more than {PROBES_MOST} runs", many, n, at_most(0.0))
    yield Share(section, "interval bounded on both sides", enclosed, n)
    yield Size.taken(section, "runs", runs)
    yield Size.taken(section, "requests in all", requests)
    yield Size.taken(section, "users in the interval, beside the lowest", widths)
    percent = [100 * width / knee for width, knee in zip(widths, knees, strict=True)]
    yield Size.taken(section, "the same in % of the knee", percent)

"""When requests are due: arrival processes. An open loop's schedule is computed before the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from instruments.clock import NANOSECONDS


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A number of users, each of whom sends again as soon as answered (and `think_s` later).

    A closed loop slows down with the server and so hides queueing: it serves saturation
    sweeps, not latency claims under a stated load.
    """

    users: int
    think_s: float = 0.0

    def __post_init__(self) -> None:
        if self.users < 1 or self.think_s < 0:
            raise ValueError(f"users must be >= 1 and think_s >= 0, got {self}")


class OpenLoop(Protocol):
    """Requests that are due whether or not earlier ones were answered."""

    def due_ns(self) -> Iterator[int]:
        """Nanoseconds after the start of the run, never decreasing, without end."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Evenly spaced arrivals; the first is due at the start."""

    rate_per_s: float

    def __post_init__(self) -> None:
        if not self.rate_per_s > 0:
            raise ValueError(f"rate_per_s must be > 0, got {self.rate_per_s}")

    def due_ns(self) -> Iterator[int]:
        # Multiplied, not accumulated: the thousandth arrival carries no sum of rounding errors.
        index = 0
        while True:
            yield round(index * NANOSECONDS / self.rate_per_s)
            index += 1


ArrivalProcess = ClosedLoop | OpenLoop

"""Replicas: who of several engines gets the next request, and who is left out for a while."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from deploy.gateway.pool import Pool
from deploy.gateway.upstream_settings import Health, Outlier

UNCHECKED = "the engine was not asked yet"
CANNOT_BE_REACHED = "the engine cannot be reached"


class Replica:
    """One engine: how it stands, and what it does now. Times are of a monotonic clock, in seconds."""

    def __init__(self, url: str, host: bytes, base_path: bytes, pool: Pool, checks: Pool) -> None:
        self.url, self.host, self.base_path = url, host, base_path
        self.pool, self.checks = pool, checks
        self.in_flight = 0
        self.healthy = False
        # Nobody answers there, or what answers says that it is ill: a request would be lost. One that is
        # merely late is not healthy either, but it may be only busy.
        self.shut = True
        self.reason: str | None = UNCHECKED  # why it is not healthy, in words for an operator
        self.models: frozenset[str] = frozenset()
        self.ejections = 0
        self.ejected_until_s = -math.inf
        # Reads of any answer: a replica whose streams flow is not hung, however late its /health.
        self.heard = 0
        self._successes = 0
        self._failures: deque[tuple[float, int]] = deque()
        self._in_a_row = 0
        self._shut_in_a_row = 0

    def checked(self, reason: str | None, health: Health, late: bool = False) -> None:
        """Note what a check of its health found: None when it is well. So many in a row decide.

        `late`: that nothing came in time, which is no proof that nothing will.
        """
        well = reason is None
        self._counted(well, reason, health)
        self._shut_in_a_row = 0 if well or late else self._shut_in_a_row + 1
        if self.healthy or late:
            self.shut = False
        elif self._shut_in_a_row >= health.unhealthy_after:
            self.shut = True

    def _counted(self, well: bool, reason: str | None, health: Health) -> None:
        if well == self.healthy:
            self._in_a_row = 0
            self.reason = None if well else reason
            return
        self._in_a_row += 1
        if self._in_a_row < (health.healthy_after if well else health.unhealthy_after):
            return
        self.healthy, self.reason, self._in_a_row = well, reason, 0

    def succeeded(self) -> None:
        """A request to it went well."""
        self._successes += 1

    def fails_too_often(self, now_s: float, outlier: Outlier) -> bool:
        """Note a failed request; True when the last `failures` ones came within the window, and outweigh.

        What fails while it is left out was sent before: it counts for nothing, there or afterwards.
        """
        if self.ejected_until_s > now_s:
            return False
        self._failures.append((now_s, self._successes))
        if len(self._failures) < outlier.failures:
            return False
        first_s, successes_then = self._failures.popleft()
        return now_s - first_s <= outlier.window_s and self._successes - successes_then <= outlier.failures

    def eject(self, until_s: float) -> None:
        """Leave it out until then; it comes back without a record."""
        self.ejected_until_s = until_s
        self.ejections += 1
        self._failures.clear()


class Replicas:
    """All of them. One decides alone: nothing here waits."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        health: Health,
        outlier: Outlier,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = tuple(replicas)
        self.models: frozenset[str] = frozenset()
        self._health = health
        self._outlier = outlier
        self._clock = clock
        self._turn = 0

    @property
    def in_flight(self) -> int:
        """Requests that are at a replica now, to the last byte of their answers."""
        return sum(replica.in_flight for replica in self.all)

    def any_healthy(self) -> bool:
        """Whether a request sent now would be given to a replica whose checks pass."""
        return any(replica.healthy for replica in self.all)

    def any_open(self) -> bool:
        """Whether a request sent now would be given to a replica at all."""
        return any(not replica.shut for replica in self.all)

    def is_serving(self, replica: Replica) -> bool:
        """Whether its checks pass and it is not ejected."""
        return replica.healthy and replica.ejected_until_s <= self._clock()

    def has_other(self, tried: Collection[Replica], healthy: bool = False) -> bool:
        """Whether `choose` would find one; or, if asked for, one whose checks pass."""
        return any(
            (replica.healthy if healthy else not replica.shut) and replica not in tried
            for replica in self.all
        )

    def choose(self, tried: Collection[Replica] = ()) -> Replica | None:
        """The one with the fewest requests in flight, ties in turn; None when none is left that is not shut.

        Ejected ones are asked when nobody else is left, and after them those that are late with their
        /health: an engine under load answers it late, and to refuse for that would make load an outage.
        """
        now_s = self._clock()
        best: Replica | None = None
        best_rank, best_at = (True, True, 0), 0
        for step in range(len(self.all)):
            at = (self._turn + step) % len(self.all)
            replica = self.all[at]
            if replica.shut or replica in tried:
                continue
            rank = (not replica.healthy, replica.ejected_until_s > now_s, replica.in_flight)
            if best is None or rank < best_rank:
                best, best_rank, best_at = replica, rank, at
        if best is not None:
            self._turn = best_at + 1
        return best

    def unreachable(self, replica: Replica) -> None:
        """Nobody took a connection: as good as a failed check, and sooner."""
        replica.checked(CANNOT_BE_REACHED, self._health)
        self.failed(replica)

    def failed(self, replica: Replica) -> None:
        """A request to it failed by its fault; leave it out if it fails too often and the others allow it."""
        now_s = self._clock()
        if not replica.fails_too_often(now_s, self._outlier):
            return
        ejected = sum(other.ejected_until_s > now_s for other in self.all)
        if ejected + 1 <= self._outlier.most_ejected_share * len(self.all):
            replica.eject(now_s + self._outlier.ejected_s)

    def listed(self, replica: Replica, models: frozenset[str]) -> None:
        """Note what a replica says that it serves. A name once known stays: its series do."""
        replica.models = models
        self.models |= models

"""Lobby: the connections that are open, who of them has bytes to be looked at, and who is idle."""

from __future__ import annotations

import heapq
from time import monotonic_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection

KEEP_ALIVE_NS = 5_000_000_000  # vLLM's, and the reason why a proxy must let idle connections go sooner


class Lobby:
    """`present` by descriptor."""

    def __init__(self) -> None:
        self.present: dict[int, Connection] = {}
        self._inbox: list[tuple[int, int, Connection]] = []
        self._calls = 0
        self._idle: dict[Connection, int] = {}  # in the order in which they fell idle

    @property
    def called(self) -> bool:
        """Whether somebody has bytes to be looked at."""
        return bool(self._inbox)

    def call(self, arrival_ns: int, connection: Connection) -> None:
        """`connection` has bytes to be looked at, which came at `arrival_ns`."""
        self._calls += 1
        heapq.heappush(self._inbox, (arrival_ns, self._calls, connection))

    def next(self) -> Connection:
        """Of those who called, the one whose bytes came first: whom the kernel had first is served first."""
        return heapq.heappop(self._inbox)[2]

    def idle(self, connection: Connection) -> None:
        """`connection` has been answered."""
        self._idle[connection] = monotonic_ns() + KEEP_ALIVE_NS

    def busy(self, connection: Connection) -> None:
        """`connection` has sent something, or has gone."""
        self._idle.pop(connection, None)

    def sweep(self) -> None:
        """Close those that were idle for too long."""
        now_ns = monotonic_ns()
        while self._idle:
            connection, until_ns = next(iter(self._idle.items()))
            if until_ns > now_ns:
                return
            connection.close()

"""Admission: how many requests may be at the engine, how many may wait, and whose turn it is.

Turns go round the keys, and inside a key in order of arrival: with one line for all, a key that sends a
hundred at once makes everybody else wait for all hundred; so it makes them wait for one. When the queue is
full, a key with fewer waiting takes the place of the newest of the key with most, so that nobody locks others
out by filling the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from deploy.gateway.account import ShedReason
from deploy.gateway.body import ClientLeft
from deploy.gateway.settings import Queue

Gone = Callable[[], Coroutine[Any, Any, None]]
Place = asyncio.Future[None]


class Shed(Exception):
    """The request is turned away: 503."""

    def __init__(self, reason: ShedReason) -> None:
        super().__init__(reason)
        self.reason: ShedReason = reason


class Admission:
    """Slots, and the queue for them. One event loop's; nothing here waits but `enter`."""

    def __init__(self, queue: Queue, any_healthy: Callable[[], bool] = lambda: True) -> None:
        self._most_in_flight = queue.in_flight
        self._most_queued = queue.queued
        self._timeout_s = queue.queue_timeout_s
        self._any_healthy = any_healthy
        self._lines: dict[str, dict[Place, None]] = {}  # by key, whose turn is next first; sets in order
        self._draining = False
        self.in_flight = 0
        self.queued = 0

    async def enter(self, who: str, gone: Gone) -> None:
        """Take a slot, waiting for one if need be; `leave` gives it back.

        `gone` returns when the client has left. Raises Shed, ClientLeft.
        """
        if self.in_flight < self._most_in_flight:  # then nobody waits
            self.in_flight += 1
            return
        place = self._queue_up(who)
        alarm = asyncio.get_running_loop().call_later(
            self._timeout_s, self._turn_away, who, place, Shed("queue_timeout")
        )
        watcher = asyncio.create_task(self._watch(gone, who, place))
        try:
            await place
        except asyncio.CancelledError:
            self._give_up(who, place)
            raise
        finally:
            alarm.cancel()
            watcher.cancel()

    def leave(self) -> None:
        """Give a slot back; it goes to the next in turn at once."""
        while self._lines:
            who = next(iter(self._lines))
            place = next(iter(self._lines[who]))
            self._remove(who, place)
            if place.done():  # its task was cancelled and has not run since
                continue
            if who in self._lines:  # others of the key go behind the other keys
                self._lines[who] = self._lines.pop(who)
            place.set_result(None)
            return
        self.in_flight -= 1

    def drain(self) -> None:
        """Turn away all who wait, and from now on all who would have to."""
        self._draining = True
        for who, line in list(self._lines.items()):
            for place in list(line):
                self._turn_away(who, place, Shed("draining"))

    def _queue_up(self, who: str) -> Place:
        if self._draining:
            raise Shed("draining")
        if not self._any_healthy():
            raise Shed("no_replica")
        if self.queued >= self._most_queued:
            self._make_room(who)
        place: Place = asyncio.get_running_loop().create_future()
        self._lines.setdefault(who, {})[place] = None
        self.queued += 1
        return place

    def _make_room(self, who: str) -> None:
        longest = max(self._lines, key=lambda key: len(self._lines[key]), default=who)
        own = len(self._lines.get(who, ()))
        if longest == who or len(self._lines[longest]) < own + 2:
            raise Shed("queue_full")
        self._turn_away(longest, next(reversed(self._lines[longest])), Shed("queue_full"))

    def _turn_away(self, who: str, place: Place, reason: Exception) -> None:
        if not place.done():
            self._remove(who, place)
            place.set_exception(reason)

    def _give_up(self, who: str, place: Place) -> None:
        """The task that waits was cancelled: its place goes, or the slot that it had just been given."""
        if place.cancelled():
            self._remove(who, place)
        elif place.exception() is None:
            self.leave()

    def _remove(self, who: str, place: Place) -> None:
        line = self._lines.get(who, {})
        if place not in line:
            return
        del line[place]
        self.queued -= 1
        if not line:
            del self._lines[who]

    async def _watch(self, gone: Gone, who: str, place: Place) -> None:
        await gone()
        self._turn_away(who, place, ClientLeft())

"""Timers: the rare things that are to be done at an instant; tokens have an agenda of their own."""

import heapq
from collections.abc import Callable
from time import monotonic_ns


class Timers:
    """Runs what was asked for when its instant has come; whoever asked checks that it still matters."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._asked = 0

    @property
    def next_ns(self) -> int | None:
        """The earliest instant, or None."""
        return self._heap[0][0] if self._heap else None

    def at(self, due_ns: int, act: Callable[[], None]) -> None:
        """Have `act` called once at `due_ns` or soon after."""
        self._asked += 1
        heapq.heappush(self._heap, (due_ns, self._asked, act))

    def run(self) -> None:
        """Call all whose instant has come."""
        now_ns = monotonic_ns()
        while self._heap and self._heap[0][0] <= now_ns:
            heapq.heappop(self._heap)[2]()

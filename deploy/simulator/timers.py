"""Timers: the rare things that are to be done at an instant; tokens have an agenda of their own."""

import heapq
import traceback
from collections.abc import Callable
from time import monotonic_ns

Act = Callable[[], None]


class Timers:
    """Runs what was asked for when its instant has come; whoever asked checks that it still matters."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Act, Act]] = []
        self._asked = 0

    @property
    def next_ns(self) -> int | None:
        """The earliest instant, or None."""
        return self._heap[0][0] if self._heap else None

    def at(self, due_ns: int, act: Act, mishap: Act = traceback.print_exc) -> None:
        """Have `act` called once at `due_ns` or soon after, and `mishap` if it raises."""
        self._asked += 1
        heapq.heappush(self._heap, (due_ns, self._asked, act, mishap))

    def run(self) -> None:
        """Call all whose instant has come."""
        now_ns = monotonic_ns()
        while self._heap and self._heap[0][0] <= now_ns:
            _, _, act, mishap = heapq.heappop(self._heap)
            try:
                act()
            except Exception:
                mishap()

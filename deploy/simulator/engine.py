"""The engine: slots, the queue before them, and the one agenda by which every token is written when it is
due.
"""

import heapq
from collections import deque
from time import monotonic_ns

from .generation import Generation
from .law import Law
from .ledger import Ledger

BLOCK_TOKENS = 16
PASS_NS = 1_000_000  # after so long the sockets get a look, however much is due


class Engine:
    """Runs at most `slots` generations; the others start in order of arrival, at the instant a slot was due
    to fall free.
    """

    def __init__(self, law: Law, slots: int, ledger: Ledger) -> None:
        self._law = law
        self._ledger = ledger
        self._agenda: list[tuple[int, int, Generation]] = []
        self._turn = 0  # of equal dues, who has waited longest goes first
        # Chunks that are overdue go out in one write, as an engine hands over what has gathered meanwhile;
        # flat out (no gap between tokens) they would all be, and each goes alone.
        self._gathers = law.itl_ns > 0
        self._free = [0] * slots  # a heap: when each free slot fell free
        self._queue: deque[Generation] = deque()
        self._running: set[Generation] = set()
        self._waiting = 0

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._waiting

    @property
    def blocks_used(self) -> int:
        """Cache blocks of the running requests, prompt and output."""
        now_ns = monotonic_ns()
        return sum(-(-(g.ask.prompt_tokens + g.tokens_out(now_ns)) // BLOCK_TOKENS) for g in self._running)

    @property
    def next_ns(self) -> int | None:
        """When the next token is due, or None."""
        return self._agenda[0][0] if self._agenda else None

    def count_running(self) -> None:
        """Bring the ledger's counts up to now."""
        for generation in self._running:
            self._ledger.count(generation)

    def submit(self, generation: Generation) -> None:
        """Take a request; its `emit` is called from `deliver`, never from here."""
        if self._free:
            self._start(generation)
        else:
            self._queue.append(generation)
            self._waiting += 1

    def abort(self, generation: Generation) -> None:
        """Stop a request at once; its slot goes to the next. vLLM counts such a request nowhere, so it is
        not counted.
        """
        if generation.finish is not None:
            return
        generation.finish, generation.emit = "cancelled", None
        if generation in self._running:
            self._release(generation, monotonic_ns())
        else:
            self._waiting -= 1  # it stays in the queue as a husk, and is passed over there
        self._ledger.add(generation)

    def resume(self, generation: Generation) -> None:
        """Its client takes bytes again: go on with what has become due meanwhile."""
        if generation.parked and generation.finish is None:
            generation.parked = False
            self._schedule(generation)

    def deliver(self) -> None:
        """Write what is due, in order of due instants, for PASS_NS at most."""
        agenda = self._agenda
        now_ns = monotonic_ns()
        bound_ns = now_ns + PASS_NS
        while agenda and agenda[0][0] <= now_ns < bound_ns:
            generation = agenda[0][2]
            if generation.finish is not None:
                heapq.heappop(agenda)
                continue
            dues, first = generation.chunk_dues, generation.chunks_out
            upto, count = first + 1, len(dues)
            if self._gathers:
                while upto < count and dues[upto] <= now_ns:
                    upto += 1
            try:
                sent_ns = generation.emit(first, upto)  # type: ignore[misc]  # whoever submits has set it
            except Exception:
                generation.mishap()
                self.abort(generation)  # if that did not: the slot is the next one's
                continue
            if not sent_ns:
                heapq.heappop(agenda)
                generation.parked = True
                continue
            generation.stamps += [sent_ns] * (upto - first)
            generation.chunks_out = upto
            if upto < count:
                self._turn += 1
                heapq.heapreplace(agenda, (dues[upto], self._turn, generation))
            else:
                heapq.heappop(agenda)
                self._end(generation)
            now_ns = monotonic_ns()

    def _schedule(self, generation: Generation) -> None:
        self._turn += 1
        due_ns = generation.chunk_dues[generation.chunks_out]
        heapq.heappush(self._agenda, (due_ns, self._turn, generation))

    def _start(self, generation: Generation) -> None:
        """In the slot that fell free first; the start is when it was due to, so that the queue's law holds
        to the nanosecond.
        """
        free_ns = heapq.heappop(self._free)
        generation.plan(self._law, max(free_ns, generation.arrival_ns))
        self._running.add(generation)
        self._ledger.tally.prefix_cache_queries += generation.ask.prompt_tokens
        self._schedule(generation)

    def _end(self, generation: Generation) -> None:
        generation.finish, generation.emit = generation.ending, None
        self._release(generation, generation.chunk_dues[-1])
        self._ledger.add(generation)

    def _release(self, generation: Generation, free_ns: int) -> None:
        self._running.remove(generation)
        heapq.heappush(self._free, free_ns)
        while self._queue and self._free:
            heir = self._queue.popleft()
            if heir.finish is None:
                self._waiting -= 1
                self._start(heir)

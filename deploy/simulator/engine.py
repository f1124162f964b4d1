"""The engine: slots, the queue before them, and the one agenda by which every token is written when it is
due.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic_ns

from .ask import Ask
from .law import Law, chunk_ends
from .tally import Tally
from .trace import Trace

S_PER_NS = 1e-9
BLOCK_TOKENS = 16

Sink = Callable[[list[int]], int]
"""Writes the chunks that have become due (for each, how many tokens are out after it); says when, in ns."""


@dataclass(slots=True, eq=False)
class Generation:
    """One request in the engine.

    Instants are of `time.monotonic_ns`; `sends` has one for each token that went out.
    """

    ask: Ask
    request_id: str
    sink: Sink
    arrival_ns: int
    number: int
    start_ns: int = 0
    dues: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    chunks_out: int = 0
    sends: list[int] = field(default_factory=list)
    finish: str | None = None


class Engine:
    """Runs at most `slots` generations; the others start in order of arrival, at the instant a slot was due
    to fall free.
    """

    def __init__(self, law: Law, slots: int, tokens_per_chunk: int, tally: Tally, trace: Trace) -> None:
        self._law = law
        self._slots = slots
        self._tokens_per_chunk = tokens_per_chunk
        self._tally = tally
        self._trace = trace
        self._agenda: list[tuple[int, int, Generation]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ns = 0
        self._queue: deque[Generation] = deque()
        self._running: set[Generation] = set()
        self._waiting = 0
        self._arrivals = 0

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
        return sum(-(-(g.ask.prompt_tokens + len(g.sends)) // BLOCK_TOKENS) for g in self._running)

    def submit(self, ask: Ask, request_id: str, sink: Sink, arrival_ns: int) -> Generation:
        """Take a request; `sink` is called from the loop, never from here."""
        generation = Generation(ask, request_id, sink, arrival_ns, self._arrivals)
        self._arrivals += 1
        if len(self._running) < self._slots:
            self._start(generation, arrival_ns)
            self._set_alarm()
        else:
            self._queue.append(generation)
            self._waiting += 1
        return generation

    def abort(self, generation: Generation) -> None:
        """Stop a request at once; its slot goes to the next. vLLM counts such a request nowhere, so it is
        not counted.
        """
        if generation.finish is not None:
            return
        generation.finish = "abort"
        if generation in self._running:
            self._running.remove(generation)
            self._fill_slots(monotonic_ns())
            self._set_alarm()
        else:
            self._waiting -= 1  # it stays in the queue as a husk, and is passed over there
        self._trace.write(generation)

    def _start(self, generation: Generation, start_ns: int) -> None:
        ask = generation.ask
        generation.start_ns = start_ns
        generation.dues = self._law.dues(start_ns, ask.max_tokens, generation.number)
        generation.ends = chunk_ends(ask.max_tokens, self._tokens_per_chunk)
        self._running.add(generation)
        self._tally.prefix_cache_queries += ask.prompt_tokens
        self._schedule(generation)

    def _schedule(self, generation: Generation) -> None:
        due_ns = generation.dues[generation.ends[generation.chunks_out] - 1]
        heapq.heappush(self._agenda, (due_ns, generation.number, generation))

    def _fill_slots(self, free_ns: int) -> None:
        """Start what waits.

        The start is when the slot was due to be free, so that the queue's law holds to the nanosecond.
        """
        while self._queue and len(self._running) < self._slots:
            generation = self._queue.popleft()
            if generation.finish is None:
                self._waiting -= 1
                self._start(generation, max(free_ns, generation.arrival_ns))

    def _set_alarm(self) -> None:
        if not self._agenda:
            return
        due_ns = self._agenda[0][0]
        if self._alarm is not None:
            if self._alarm_ns <= due_ns:
                return
            self._alarm.cancel()
        self._alarm_ns = due_ns
        self._alarm = asyncio.get_running_loop().call_at(due_ns * S_PER_NS, self._wake)

    def _wake(self) -> None:
        """Write all that is due now, in order of due instants, then sleep until the next is."""
        self._alarm = None
        now_ns = monotonic_ns()
        while self._agenda and self._agenda[0][0] <= now_ns:
            generation = heapq.heappop(self._agenda)[2]
            if generation.finish is None:
                self._deliver(generation, now_ns)
        self._set_alarm()

    def _deliver(self, generation: Generation, now_ns: int) -> None:
        dues, ends, first = generation.dues, generation.ends, generation.chunks_out
        upto = first + 1
        while upto < len(ends) and dues[ends[upto] - 1] <= now_ns:
            upto += 1
        generation.chunks_out = upto
        due = ends[first:upto]
        if upto < len(ends):
            self._schedule(generation)
            self._count(generation, due, generation.sink(due))
            return
        generation.finish = "length"
        self._count(generation, due, generation.sink(due))
        self._running.remove(generation)
        self._count_finished(generation)
        self._fill_slots(dues[-1])
        self._trace.write(generation)

    def _count(self, generation: Generation, due: list[int], sent_ns: int) -> None:
        tally, sends = self._tally, generation.sends
        gap_s = (sent_ns - sends[-1]) * S_PER_NS if sends else 0.0
        chunks = len(due)
        if not sends:
            tally.prompt_tokens += generation.ask.prompt_tokens
            tally.time_to_first_token.observe((sent_ns - generation.arrival_ns) * S_PER_NS)
            chunks -= 1
        for _ in range(chunks):
            tally.inter_token_latency.observe(gap_s)
            gap_s = 0.0
        tokens = due[-1] - len(sends)
        tally.generation_tokens += tokens
        sends.extend([sent_ns] * tokens)

    def _count_finished(self, generation: Generation) -> None:
        tally, tokens = self._tally, len(generation.sends)
        arrival_ns, start_ns = generation.arrival_ns, generation.start_ns
        first_ns, last_ns = generation.sends[0], generation.sends[-1]
        decode_s = (last_ns - first_ns) * S_PER_NS
        tally.finished["length"] += 1
        tally.e2e_request_latency.observe((last_ns - arrival_ns) * S_PER_NS)
        tally.request_queue_time.observe((start_ns - arrival_ns) * S_PER_NS)
        tally.request_inference_time.observe((last_ns - start_ns) * S_PER_NS)
        tally.request_prefill_time.observe((first_ns - start_ns) * S_PER_NS)
        tally.request_decode_time.observe(decode_s)
        # vLLM observes 0 for a request of one token, whose time per output token is undefined
        tally.request_time_per_output_token.observe(decode_s / (tokens - 1) if tokens > 1 else 0.0)
        tally.request_prompt_tokens.observe(generation.ask.prompt_tokens)
        tally.request_generation_tokens.observe(tokens)

"""Ledger: counts and traces what has ended, in moments when no token is due."""

from collections import deque
from itertools import pairwise
from time import monotonic_ns

from .generation import Generation
from .tally import Tally
from .trace import Trace

S_PER_NS = 1e-9


class Ledger:
    """Keeps finished generations until there is time for them; `tally` has what was counted so far."""

    def __init__(self, tally: Tally, trace: Trace) -> None:
        self.tally = tally
        self._trace = trace
        self._backlog: deque[Generation] = deque()

    @property
    def backlog(self) -> int:
        """How many wait to be counted."""
        return len(self._backlog)

    def add(self, generation: Generation) -> None:
        """Take one that has ended."""
        self._backlog.append(generation)

    def work(self) -> None:
        """Count and trace one; with the last one the trace's file is up to date."""
        generation = self._backlog.popleft()
        self.count(generation)
        if generation.finish in {"length", "stop", "error"} and generation.stamps:
            self._count_finished(generation)
        self._trace.write(generation)
        if not self._backlog:
            self._trace.flush()

    def settle(self) -> None:
        """Count and trace all."""
        while self._backlog:
            self.work()

    def count(self, generation: Generation) -> None:
        """Count the tokens that have gone out since it was last counted."""
        ends, stamps = _progress(generation)
        counted = generation.counted
        if len(ends) == counted:
            return
        tally = self.tally
        before = ends[counted - 1] if counted else 0
        if not counted:
            tally.prompt_tokens += generation.ask.prompt_tokens
            tally.time_to_first_token.observe((stamps[0] - generation.arrival_ns) * S_PER_NS)
        tally.generation_tokens += ends[-1] - before
        tally.inter_token_latency.observe_all(
            [(after - before) * S_PER_NS for before, after in pairwise(stamps[max(counted - 1, 0) :])]
        )
        generation.counted = len(ends)

    def _count_finished(self, generation: Generation) -> None:
        tally = self.tally
        tally.finished[str(generation.finish)] += 1
        ends, stamps = _progress(generation)
        if not ends:
            return
        tokens = ends[-1]
        arrival_ns, start_ns = generation.arrival_ns, generation.start_ns
        first_ns, last_ns = stamps[0], stamps[-1]
        decode_s = (last_ns - first_ns) * S_PER_NS
        tally.e2e_request_latency.observe((last_ns - arrival_ns) * S_PER_NS)
        tally.request_queue_time.observe((start_ns - arrival_ns) * S_PER_NS)
        tally.request_inference_time.observe((last_ns - start_ns) * S_PER_NS)
        tally.request_prefill_time.observe((first_ns - start_ns) * S_PER_NS)
        tally.request_decode_time.observe(decode_s)
        # vLLM observes 0 for a request of one token, whose time per output token is undefined
        tally.request_time_per_output_token.observe(decode_s / (tokens - 1) if tokens > 1 else 0.0)
        tally.request_prompt_tokens.observe(generation.ask.prompt_tokens)
        tally.request_generation_tokens.observe(tokens)


def _progress(generation: Generation) -> tuple[list[int], list[int]]:
    """(tokens out after each chunk, when each went) so far.

    An answer that is not streamed is generated token by token too, each when it is due; only its sending
    waits for the last.
    """
    if generation.ask.stream:
        stamps = generation.stamps
        ends = generation.ends[: len(stamps)]
        if generation.cut_short and len(stamps) == len(generation.ends):
            return ends[:-1], stamps[:-1]  # the last was an error event or a reset
        return ends, stamps
    now_ns = generation.stamps[-1] if generation.stamps else monotonic_ns()
    tokens = generation.tokens_out(now_ns)
    if generation.cut_short:
        tokens = min(tokens, generation.fault.ending_after)
    return [*range(1, tokens + 1)], generation.dues[:tokens]

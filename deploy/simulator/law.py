"""The timing law: when each token of a request is due, as absolute instants: lateness cannot add up."""

import random
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Law:
    """Token k (from 0) is due at start + ttft + k * itl, plus uniform(0, jitter), in order.

    With a step, at the first multiple of it (of the monotonic clock) that is not before that instant: the
    tokens of all streams then leave together, as an engine that batches continuously emits them.
    All in nanoseconds. Jitter is drawn from (seed, key), so a request has its jitter whatever the order of
    arrival.
    """

    ttft_ns: int
    itl_ns: int
    jitter_ns: int = 0
    seed: int = 0
    step_ns: int = 0

    def dues(
        self, start_ns: int, tokens: int, key: str, stall: tuple[int, int] = (0, 0), floor_ns: int = 0
    ) -> list[int]:
        """The instants, in order, of `tokens` tokens of the request `key`.

        `stall` is (k, ns): tokens from k on are later by so much. None is due before `floor_ns`.
        """
        first = start_ns + self.ttft_ns
        dues = [first + k * self.itl_ns for k in range(tokens)]
        if self.jitter_ns:
            draw = random.Random(f"{self.seed}:jitter:{key}").random  # noqa: S311 - a schedule, not a secret
            dues = [*accumulate((due + int(draw() * self.jitter_ns) for due in dues), max)]
        after, stall_ns = stall
        if stall_ns:
            dues[after:] = [due + stall_ns for due in dues[after:]]
        if floor_ns:
            dues = [max(due, floor_ns) for due in dues]
        if self.step_ns:
            dues = [-(-due // self.step_ns) * self.step_ns for due in dues]
        return dues


def chunk_ends(tokens: int, tokens_per_chunk: int, border: int = 0) -> list[int]:
    """How many tokens are out after each chunk: the first token alone, then `tokens_per_chunk` at a time.

    The first goes alone, as a prefill yields one token; so the chunk size changes the gaps between
    events, but neither the time to first token nor the time per output token. No chunk crosses `border`,
    where reasoning ends.
    """
    if not 1 < border < tokens:
        return [*range(1, tokens, tokens_per_chunk), tokens]
    return [
        *range(1, border, tokens_per_chunk),
        *range(border, tokens, tokens_per_chunk),
        tokens,
    ]

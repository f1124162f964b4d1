"""The timing law: when each token of a request is due, as absolute instants: lateness cannot add up."""

import random
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Law:
    """Token k (from 0) is due at start + ttft + k * itl, plus uniform(0, jitter), in order.

    All in nanoseconds. Jitter is drawn from (seed, arrival number), so equal arrivals give equal dues.
    """

    ttft_ns: int
    itl_ns: int
    jitter_ns: int
    seed: int

    def dues(self, start_ns: int, tokens: int, number: int) -> list[int]:
        """The instants, in order, of `tokens` tokens of the request that arrived as `number`."""
        first = start_ns + self.ttft_ns
        even = [first + k * self.itl_ns for k in range(tokens)]
        if not self.jitter_ns:
            return even
        draw = random.Random(self.seed * 1_000_003 + number).random  # noqa: S311 - a schedule, not a secret
        return list(accumulate((due + int(draw() * self.jitter_ns) for due in even), max))


def chunk_ends(tokens: int, tokens_per_chunk: int) -> list[int]:
    """How many tokens are out after each chunk: the first token alone, then `tokens_per_chunk` at a time.

    The first goes alone, as a prefill yields one token; so the chunk size changes the gaps between
    events, but neither the time to first token nor the time per output token.
    """
    return [*range(1, tokens, tokens_per_chunk), tokens]

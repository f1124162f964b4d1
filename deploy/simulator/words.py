"""The words that the simulated model says: one word is one token, and the prompt alone decides them (greedy
decoding).
"""

from collections.abc import Iterator
from hashlib import blake2b

SYLLABLES = tuple(c + v for c in "bdfghjklmnprstvz" for v in "aiou")  # 64: six bits a syllable
MASK = (1 << 64) - 1
# Knuth's MMIX generator; only its high bits are used, as the low ones of such a generator have short periods.
MULTIPLIER, INCREMENT = 6364136223846793005, 1442695040888963407


def words(prompt: str) -> Iterator[str]:
    """Endless tokens, each a space and a word of six letters a-z.

    Prompts that differ share a word one time in 262,144.
    """
    state = int.from_bytes(blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    while True:
        state = (state * MULTIPLIER + INCREMENT) & MASK
        yield f" {SYLLABLES[state >> 58]}{SYLLABLES[state >> 52 & 63]}{SYLLABLES[state >> 46 & 63]}"

"""The words that the simulated model says: one word is one token, and the prompt alone decides them (greedy
decoding).
"""

from hashlib import shake_128

WORD_BYTES = 7  # a space and six letters: nothing that JSON must escape
# A byte is a letter drawn evenly: 16 consonants and 4 vowels divide 256.
CONSONANT = (b"bdfghjklmnprstvz" * 16)[:256]
VOWEL = (b"aiou" * 64)[:256]


def words(prompt: str, tokens: int) -> bytes:
    """`tokens` words after one another, each WORD_BYTES long; more tokens only go on with the same text.

    Prompts that differ share a word at one place one time in 262,144. Made at once, because a hash for a
    whole answer costs what a generator costs for a few words.
    """
    drawn = shake_128(prompt.encode("utf-8", "surrogatepass")).digest(6 * tokens)
    said = bytearray(b" " * (WORD_BYTES * tokens))
    for place in range(6):
        letters = drawn[place::6].translate(VOWEL if place % 2 else CONSONANT)
        said[place + 1 :: WORD_BYTES] = letters
    return bytes(said)

"""Composes prompts: so many tokens, a number that tells each from others, perhaps a shared beginning."""

from __future__ import annotations

from random import Random

from instruments.workloads.bodies import Api
from instruments.workloads.mixes import Prefix
from instruments.workloads.vocabulary import OPENING, TOLD_APART, Vocabulary


class Composer:
    """Prompts of one run: unique by their number, equal for equal (seed_text, number).

    A prompt's tokens are all that the server counts: the template and what a tokenizer adds are included.
    One shorter than that is sent as OPENING alone; `usage` tells, and the request keeps what was asked.
    """

    def __init__(self, vocabulary: Vocabulary, api: Api, seed_text: str) -> None:
        self._vocabulary = vocabulary
        self._overhead = vocabulary.chat_overhead if api == "chat" else vocabulary.prompt_overhead
        self._seed_text = seed_text
        # Another seed begins elsewhere, so that its prompts differ from the first word on.
        self._first = int(Random(seed_text).random() * TOLD_APART)
        self._prefixes: dict[tuple[str, int, int], list[str]] = {}

    def text(self, rng: Random, tokens: int, number: int, prefix: Prefix | None = None, of: str = "") -> str:
        """A prompt of so many tokens; with a prefix, perhaps one that begins as others `of` that name do."""
        left = tokens - self._overhead
        shared: list[str] = []
        if prefix is not None and rng.random() < prefix.hit_share:
            shared = self._shared(of, int(rng.random() * prefix.groups), prefix.tokens)
            left -= max(0, prefix.tokens - self._overhead)
        told, cost = self._vocabulary.number((self._first + number) % TOLD_APART, left)
        return " ".join([OPENING, *shared, *told, *self._vocabulary.fill(rng, left - cost)])

    def blocks(self, hash_ids: tuple[int, ...], tokens: int, block_tokens: int) -> str:
        """A prompt of so many tokens whose blocks are equal where their hash ids are."""
        words, begins = [OPENING], self._overhead
        for place, hash_id in enumerate(hash_ids):
            ends = min(tokens, (place + 1) * block_tokens)
            rng = Random(f"{self._seed_text}/hash/{hash_id}")
            words += self._vocabulary.fill(rng, ends - begins)
            begins = max(begins, ends)
        return " ".join(words)

    def _shared(self, of: str, group: int, tokens: int) -> list[str]:
        key = (of, group, tokens)
        if key not in self._prefixes:
            rng = Random(f"{self._seed_text}/prefix/{of}/{group}")
            self._prefixes[key] = self._vocabulary.fill(rng, tokens - self._overhead)
        return self._prefixes[key]

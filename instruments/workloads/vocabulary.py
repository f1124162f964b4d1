"""Words with their cost in tokens of the served model, and texts of an exact number of tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from instruments.errors import ConfigurationError

# Frequent and short, so that most tokenizers know each of them, with its space, as one token.
WORDS = (
    "the that for one not with are per run how has time same too long what first them end you two until "
    "who can man step status down more slow when than stop short every block out from back gate nothing "
    "over whole read this through while before should need longer number about start replica some open "
    "wind case come any find but between part people may into day give why without perhaps measure seen "
    "keys usual process alert even again where few reason half test all their sing way were well warm "
    "another far five file free rest real three plan phase met main off lit have story begin clock will "
    "kind know within most enough load yet twenty user table text world writes does goes good problem"
).split()
OPENING = "Please"  # begins every text: what a tokenizer does at a beginning is measured once, for it alone
TOLD_APART = 1_000_000  # so many texts of a run differ within their first few words
SAMPLE_WORDS = (2, 7, 24, 48, 96)  # lengths of the texts on which a vocabulary is checked

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What words cost. A word's cost is that of the word behind another one, its space included.

    `prompt_overhead` is what a plain prompt costs that says nothing but OPENING, and `chat_overhead` a chat
    of one user message that says nothing else: template, roles and special tokens are in them.
    `exact` tells whether the costs added up on composed texts; `source` says who told them.
    """

    words: tuple[str, ...]
    costs: tuple[int, ...]
    prompt_overhead: int
    chat_overhead: int
    source: str
    exact: bool
    _plain: bool = field(init=False, repr=False, compare=False)  # every word is one token
    _figures: tuple[tuple[str, int], ...] = field(init=False, repr=False, compare=False)
    _digits: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.words) != len(self.costs) or not self.words or min(self.costs) < 1:
            raise ValueError("every word needs a cost of at least one token, and there must be a word")
        priced = tuple(zip(self.words, self.costs, strict=True))
        ones = tuple(word for word in priced if word[1] == 1)
        object.__setattr__(self, "_plain", len(ones) == len(priced))
        object.__setattr__(self, "_figures", ones if len(ones) > 1 else priced)
        digits, numbers = 1, max(2, len(self._figures))
        while numbers**digits < TOLD_APART:
            digits += 1
        object.__setattr__(self, "_digits", digits)

    def fingerprint(self) -> str:
        """A hash of all that decides what a text looks like."""
        told = [self.words, self.costs, self.prompt_overhead, self.chat_overhead]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    def fill(self, rng: Random, tokens: int) -> list[str]:
        """Random words that cost so many tokens; fewer by less than the cheapest word where none fits."""
        if tokens <= 0:
            return []
        if self._plain:
            return rng.choices(self.words, k=tokens)
        found: list[str] = []
        random, words, costs, left = rng.random, self.words, self.costs, tokens
        while costs[at := int(random() * len(words))] <= left:
            found.append(words[at])
            left -= costs[at]
        return found + self._rest(rng, left)

    def number(self, value: int, tokens: int) -> tuple[list[str], int]:
        """Words that tell this number from others below TOLD_APART, and what they cost; at most `tokens`.

        The quickest figure comes first, so that neighbours differ in their first word.
        """
        found: list[str] = []
        spent = 0
        for _ in range(self._digits):
            value, digit = divmod(value, len(self._figures))
            word, cost = self._figures[digit]
            if spent + cost > tokens:
                break
            found.append(word)
            spent += cost
        return found, spent

    def _rest(self, rng: Random, left: int) -> list[str]:
        """The end of a text, into which the word that was drawn did not fit."""
        found: list[str] = []
        while left > 0:
            fitting = [at for at, cost in enumerate(self.costs) if cost <= left]
            if not fitting:
                break
            at = rng.choice(fitting)
            found.append(self.words[at])
            left -= self.costs[at]
        return found


WORDS_AS_TOKENS = Vocabulary(
    words=tuple(WORDS),
    costs=(1,) * len(WORDS),
    prompt_overhead=1,
    chat_overhead=1,
    source="assumed: one token a word, and none for the chat template",
    exact=False,
)


def measure_vocabulary(
    count: Count, count_chat: Count | None = None, words: Sequence[str] = WORDS
) -> Vocabulary:
    """Ask a tokenizer what each word costs, and check on composed texts that costs add up.

    `count` gives the tokens of a plain prompt, special tokens included: vLLM's `POST /tokenize` with
    {"model", "prompt"}. `count_chat` gives those of a chat of one user message with this content, the
    generation prompt included: the same with {"model", "messages"}; without it the template's cost is
    taken to be that of a plain prompt. About len(words) + 12 questions are asked.
    ConfigurationError when an answer cannot be a number of tokens.
    """
    chat = count_chat or count
    start, chat_start = count(OPENING), chat(OPENING)
    costs = tuple(count(f"{OPENING} {word}") - start for word in words)
    if min(start, chat_start, *costs) < 1:
        raise ConfigurationError(
            "the served model's tokenizer cannot be used to make prompts of a stated length",
            expected="each word of a prompt to cost at least one token",
            seen=f"{start} tokens for {OPENING!r}, {min(costs)} for the cheapest word behind it",
        )
    made = Vocabulary(tuple(words), costs, start, chat_start, "", exact=True)
    apart = max(
        abs(ask(text) - expected)
        for overhead, ask in ((start, count), (chat_start, chat))
        for text, expected in _samples(made, overhead)
    )
    source = "the served model's tokenizer"
    source += (
        ", checked" if not apart else f"; prompts may be {apart} tokens or more apart from what is asked"
    )
    if count_chat is None:
        source += "; the chat template's cost is not known"
    return Vocabulary(
        made.words, costs, start, chat_start, source, exact=not apart and count_chat is not None
    )


def _samples(made: Vocabulary, overhead: int) -> list[tuple[str, int]]:
    """Texts of random words, and the tokens that each should have."""
    rng, cost_of = Random("vocabulary"), dict(zip(made.words, made.costs, strict=True))
    found = []
    for length in SAMPLE_WORDS:
        drawn = rng.choices(made.words, k=length)
        found.append((" ".join([OPENING, *drawn]), overhead + sum(cost_of[word] for word in drawn)))
    return found

"""Prompts of an exact number of tokens, by a tokenizer that is asked and checked."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from random import Random
from typing import Literal

import pytest

from instruments.errors import ConfigurationError
from instruments.workloads.lengths import Uniform
from instruments.workloads.mixes import Prefix
from instruments.workloads.synthetic import SyntheticWorkload
from instruments.workloads.vocabulary import (
    OPENING,
    TOLD_APART,
    WORDS,
    WORDS_AS_TOKENS,
    Vocabulary,
    measure_vocabulary,
)

SPECIAL = 1  # begins every prompt
TEMPLATE = 7  # what a chat of one message is wrapped in


def pieces(text: str) -> int:
    """A tokenizer by hand: a word, its space included, in pieces of five characters."""
    first, *others = text.split(" ")
    return SPECIAL - (-len(first) // 5) + sum(-(-(1 + len(word)) // 5) for word in others)


def chat_pieces(content: str) -> int:
    return pieces(content.strip()) + TEMPLATE


MEASURED = measure_vocabulary(pieces, chat_pieces)
LONG_WORDS = measure_vocabulary(pieces, chat_pieces, ["harbor", "meadow", "lantern", "thunder"])


def asked_of(made: SyntheticWorkload, vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """(tokens asked for, tokens by the tokenizer) of each request."""
    found = []
    for one in made.requests("m", 1, vocabulary):
        text = one.body["messages"][0]["content"] if made.api == "chat" else one.body["prompt"]
        count = chat_pieces if made.api == "chat" else pieces
        assert one.prompt_tokens_asked is not None
        found.append((one.prompt_tokens_asked, count(text)))
    return found


def workload(api: Literal["chat", "completions", "generate"], **fields: object) -> SyntheticWorkload:
    told = {"requests_measured": 200, "output_tokens": 4, "users": 1, "prompt_tokens": Uniform((16, 64))}
    return SyntheticWorkload(id="w", description="d", api=api, **(told | fields))  # type: ignore[arg-type]


def test_words_and_templates_cost_what_the_tokenizer_says() -> None:
    cost_of = dict(zip(MEASURED.words, MEASURED.costs, strict=True))
    assert (cost_of["the"], cost_of["that"], cost_of["people"]) == (1, 1, 2)
    assert MEASURED.prompt_overhead == SPECIAL + 2  # "Please" in two pieces
    assert MEASURED.chat_overhead == SPECIAL + 2 + TEMPLATE
    assert MEASURED.exact
    assert MEASURED.source == "the served model's tokenizer, checked"


def test_the_tokenizer_is_asked_once_for_a_word_and_little_more() -> None:
    questions: list[str] = []

    def count(text: str) -> int:
        questions.append(text)
        return pieces(text)

    measure_vocabulary(count, count)
    assert len(questions) == len(set(questions)) + 1 + 5  # the opening and the samples, for both APIs
    assert len(questions) <= len(WORDS) + 12


@pytest.mark.parametrize("api", ["chat", "completions", "generate"])
@pytest.mark.parametrize("prefix", [None, Prefix(2, 12, 0.5)], ids=["no prefix", "prefix"])
def test_prompts_have_exactly_the_tokens_that_were_asked_for(
    api: Literal["chat", "completions", "generate"], prefix: Prefix | None
) -> None:
    found = asked_of(workload(api, prefix=prefix), MEASURED)
    assert all(asked == seen for asked, seen in found)
    assert len({asked for asked, _ in found}) > 20


def test_where_no_word_is_one_token_the_nearest_below_is_sent() -> None:
    assert set(LONG_WORDS.costs) == {2}
    found = asked_of(workload("chat"), LONG_WORDS)
    assert {asked - seen for asked, seen in found} == {0, 1}


def test_a_prompt_shorter_than_its_template_is_its_opening_alone() -> None:
    assert asked_of(workload("chat", prompt_tokens=3), MEASURED)[0] == (3, 1 + 2 + TEMPLATE)


@pytest.mark.parametrize("vocabulary", [MEASURED, LONG_WORDS, WORDS_AS_TOKENS])
def test_texts_are_filled_up_to_their_length(vocabulary: Vocabulary) -> None:
    cost_of = dict(zip(vocabulary.words, vocabulary.costs, strict=True))
    cheapest = min(vocabulary.costs)
    for tokens in (0, 1, 2, 3, 50, 500):
        words = vocabulary.fill(Random(tokens), tokens)
        spent = sum(cost_of[word] for word in words)
        assert tokens - cheapest < spent <= tokens


@pytest.mark.parametrize("vocabulary", [MEASURED, LONG_WORDS, WORDS_AS_TOKENS])
def test_numbers_are_told_apart_by_their_words(vocabulary: Vocabulary) -> None:
    cost_of = dict(zip(vocabulary.words, vocabulary.costs, strict=True))
    told = set()
    for value in range(0, TOLD_APART, 97):
        words, cost = vocabulary.number(value, 1_000)
        assert cost == sum(cost_of[word] for word in words)
        told.add(tuple(words))
    assert len(told) == len(range(0, TOLD_APART, 97))


def test_a_number_takes_no_more_than_there_is_room_for() -> None:
    assert MEASURED.number(123_456, 0) == ([], 0)
    assert len(MEASURED.number(123_456, 2)[0]) == 2


def test_a_tokenizer_whose_costs_do_not_add_up_is_found_out() -> None:
    merged = measure_vocabulary(lambda text: pieces(text) - text.count(" the") // 2, chat_pieces)
    assert not merged.exact
    assert "tokens or more apart" in merged.source


def test_without_a_chat_to_ask_about_the_template_is_not_known() -> None:
    alone = measure_vocabulary(pieces)
    assert not alone.exact
    assert alone.chat_overhead == alone.prompt_overhead
    assert "the chat template's cost is not known" in alone.source


@pytest.mark.parametrize("count", [lambda _: 0, lambda text: len(text) if text == OPENING else 3])
def test_a_tokenizer_that_says_what_cannot_be_is_refused(count: Callable[[str], int]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used to make prompts"):
        measure_vocabulary(count, count)


def test_the_assumption_says_that_it_is_one() -> None:
    assert not WORDS_AS_TOKENS.exact
    assert "assumed" in WORDS_AS_TOKENS.source
    assert len(set(WORDS)) == len(WORDS) > 100


def test_a_vocabulary_survives_the_way_to_a_worker_and_its_hash_tells_it_from_others() -> None:
    copy = pickle.loads(pickle.dumps(MEASURED))  # noqa: S301
    assert copy == MEASURED
    assert copy.fill(Random(1), 100) == MEASURED.fill(Random(1), 100)
    assert len({one.fingerprint() for one in (MEASURED, copy, LONG_WORDS, WORDS_AS_TOKENS)}) == 3


@pytest.mark.parametrize("costs", [(), (1,), (1, 0)])
def test_every_word_has_a_cost(costs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="every word needs a cost"):
        Vocabulary(("a", "b"), costs, 1, 1, "by hand", exact=True)

"""Room: whether prompts are long enough to differ, beside what the served model's template takes of them."""

from __future__ import annotations

import sys
from dataclasses import replace

from instruments.errors import ConfigurationError
from instruments.workloads.lengths import shortest
from instruments.workloads.mixes import Recipe
from instruments.workloads.synthetic import SyntheticWorkload
from instruments.workloads.vocabulary import Vocabulary


def room_of(workload: SyntheticWorkload, vocabulary: Vocabulary, *, given: bool) -> SyntheticWorkload:
    """The workload whose prompts differ from each other: itself, or with the fewest tokens that work.

    ConfigurationError where its lengths were `given` and are too short: every prompt would be the same, and
    the server's prefix cache would be measured.
    """
    overhead = vocabulary.chat_overhead if workload.api == "chat" else vocabulary.prompt_overhead
    apart = told_apart_tokens(vocabulary)
    if not given:
        fewest = overhead + apart
        return (
            workload
            if shortest(workload.prompt_tokens) >= fewest
            else replace(workload, prompt_tokens=fewest)
        )
    for recipe in workload.recipes():
        _check(recipe, overhead, apart)
    return workload


def told_apart_tokens(vocabulary: Vocabulary) -> int:
    """What the words that tell a prompt from all others cost at most."""
    figures, _ = vocabulary.number(0, sys.maxsize)
    # Numbers are told in words of one token, where there are two of them.
    return len(figures) * (1 if vocabulary.costs.count(1) > 1 else max(vocabulary.costs))


def _check(recipe: Recipe, overhead: int, apart: int) -> None:
    whose = f" of the scenario {recipe.name!r}" if recipe.name else ""
    prefix = recipe.prefix.tokens if recipe.prefix is not None else 0
    if recipe.prefix is not None and prefix <= overhead:
        raise ConfigurationError(
            f"the shared beginning of the prompts{whose} holds nothing",
            expected=f"prefix.tokens of at least {overhead + 1}: the template takes {overhead}",
            seen=f"{prefix} tokens",
        )
    least, fewest = shortest(recipe.prompt_tokens), max(overhead, prefix) + apart
    if least < fewest:
        before = "the shared beginning" if prefix else "what is the same for all"
        raise ConfigurationError(
            f"the prompts{whose} are too short to differ from each other",
            expected=f"at least {fewest} tokens: {before} takes {fewest - apart}, and what differs {apart}",
            seen=f"{least} tokens for the shortest",
            hint=f"--prompt-tokens {fewest}, or as much in the workload's file",
        )

"""Requests for the clients that take theirs from a file: chat bodies of known length, made from one seed."""

import json
import random
from pathlib import Path

from benchmarks import place
from benchmarks.scenarios import Scenario

CHAT_PATH = "/v1/chat/completions"
TEMPLATE_TOKENS = 8  # what the server counts for the chat template around a message


def bodies(scenario: Scenario, seed: int) -> list[str]:
    """One JSON body a request, each prompt unique: `prompt_tokens` words, as the server counts them."""
    rng = random.Random(seed)
    words = scenario.prompt_tokens - TEMPLATE_TOKENS
    prompts = (" ".join(_word(rng) for _ in range(words)) for _ in range(scenario.requests))
    return [json.dumps(_body(prompt, scenario.tokens), separators=(",", ":")) for prompt in prompts]


def write_bodies(path: Path, scenario: Scenario, seed: int) -> None:
    """The bodies, a line each."""
    path.write_text("".join(f"{body}\n" for body in bodies(scenario, seed)))


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))


def _body(prompt: str, tokens: int) -> dict[str, object]:
    return {
        "model": place.MODEL_NAME,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }

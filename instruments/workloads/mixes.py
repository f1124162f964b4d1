"""What varies between the requests of one workload: scenarios and their shares, prefixes, who leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from random import Random
from typing import Any, ClassVar

from instruments.workloads.lengths import Length, shortest


@dataclass(frozen=True, slots=True)
class Prefix:
    """Beginnings that prompts share, so that a prefix cache has something to serve.

    A share of the requests begins with one of `groups` texts of `tokens` tokens; a prompt's length includes
    it. The other requests' prompts are as long and share nothing. The first of a group fills the cache.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    groups: int
    tokens: int
    hit_share: float = 1.0

    def __post_init__(self) -> None:
        if min(self.groups, self.tokens) < 1 or not 0 <= self.hit_share <= 1:
            raise ValueError(f"groups and tokens must be at least 1, hit_share from 0 to 1, got {self}")


@dataclass(frozen=True, slots=True)
class Leave:
    """Clients that leave before the end: a share of the requests, after so many tokens or so many seconds."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    share: float
    after_tokens: int | None = None
    after_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {self.share}")
        if (self.after_tokens is None) == (self.after_s is None):
            raise ValueError("give either after_tokens or after_s")
        if not (self.after_tokens is None or self.after_tokens >= 1):
            raise ValueError(f"after_tokens must be at least 1, got {self.after_tokens}")
        if not (self.after_s is None or 0 <= self.after_s < math.inf):
            raise ValueError(f"after_s must be >= 0, got {self.after_s}")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One part of a mix. What it does not say is as the workload says."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    weight: int = 1
    prompt_tokens: Length | None = None
    output_tokens: Length | None = None
    prefix: Prefix | None = None
    turns: Length | None = None
    think_s: float | None = None
    leave: Leave | None = None

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise ValueError(f"weight must be a whole number of at least 1, got {self.weight}")
        for length in (self.prompt_tokens, self.output_tokens, self.turns):
            if length is not None:
                shortest(length)
        if self.think_s is not None and not 0 <= self.think_s < math.inf:
            raise ValueError(f"think_s must be >= 0, got {self.think_s}")


class Rota:
    """Which scenario has its turn: in every block of the weights' sum, each as often as its weight.

    The order within a block is drawn from the seed and the block's number, so that any number can be asked.
    """

    def __init__(self, weights: Sequence[int], seed_text: str) -> None:
        least = reduce(math.gcd, weights)
        self._block = [at for at, weight in enumerate(weights) for _ in range(weight // least)]
        self._seed_text = seed_text
        self._number = -1
        self._shuffled: list[int] = []

    def at(self, number: int) -> int:
        """The position, among the weights, of whose turn it is."""
        if len(self._block) == 1:
            return 0
        block, place = divmod(number, len(self._block))
        if block != self._number:
            rng = Random(f"{self._seed_text}/block/{block}")
            # By drawn keys: unlike shuffle, random() gives the same in every version of Python.
            self._shuffled = sorted(self._block, key=lambda _: rng.random())
            self._number = block
        return self._shuffled[place]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A scenario with nothing left open."""

    name: str
    prompt_tokens: Length
    output_tokens: Length
    turns: Length
    think_s: float
    prefix: Prefix | None
    leave: Leave | None

    def __post_init__(self) -> None:
        for length in (self.prompt_tokens, self.output_tokens, self.turns):
            shortest(length)
        if self.prefix is not None and self.prefix.tokens >= shortest(self.prompt_tokens):
            least = shortest(self.prompt_tokens)
            raise ValueError(
                f"prefix.tokens must be below {least}, the shortest prompt, got {self.prefix.tokens}"
            )

"""Synthetic prompts: random words, unique for each request unless a cache is the question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from instruments.arrivals import ClosedLoop, Constant
from instruments.records import CHAT_PATH, COMPLETIONS_PATH, Phase, Request

WORDS = (
    "river stone window garden letter winter bridge candle harbor meadow engine signal copper lantern "
    "market thunder velvet orchard compass marble station feather island mirror pepper saddle timber "
    "valley whistle anchor basket canyon desert ember forest glacier"
).split()


@dataclass(frozen=True, slots=True)
class SyntheticWorkload:
    """Prompts of a fixed number of words and answers of a fixed number of tokens.

    The prompt's length in tokens of the served model is what `usage` says it is.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    description: str
    requests_measured: int
    output_tokens: int
    prompt_words: int = 24
    requests_warmup: int = 4
    api: Literal["chat", "completions"] = "chat"
    stream: bool = True
    users: int | None = None
    rate_per_s: float | None = None

    def __post_init__(self) -> None:
        if (self.users is None) == (self.rate_per_s is None):
            raise ValueError("give either users (closed loop) or rate_per_s (constant arrivals)")
        if min(self.requests_measured, self.output_tokens, self.prompt_words) < 1 or self.requests_warmup < 0:
            raise ValueError("requests_measured, output_tokens and prompt_words must be at least 1")
        _ = self.arrivals  # its own bounds are checked where it is made

    @property
    def arrivals(self) -> ClosedLoop | Constant:
        return ClosedLoop(self.users) if self.users is not None else Constant(self.rate_per_s or 0.0)

    def requests(self, model: str, seed: int) -> Iterator[Request]:
        rng = Random(f"{self.id}/{seed}")
        for index in range(self.requests_warmup + self.requests_measured):
            phase = Phase.WARMUP if index < self.requests_warmup else Phase.MEASURED
            yield Request(
                index=index,
                request_id=f"{self.id}-{seed}-{index}",
                path=CHAT_PATH if self.api == "chat" else COMPLETIONS_PATH,
                body=self._body(model, self._prompt(rng, index)),
                stream=self.stream,
                phase=phase,
            )

    def fingerprint(self) -> str:
        """A hash of all that the workload asks for."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def _prompt(self, rng: Random, index: int) -> str:
        # The number comes first, so that no two prompts share a prefix that a cache could serve.
        return " ".join([str(index), *(rng.choice(WORDS) for _ in range(self.prompt_words - 1))])

    def _body(self, model: str, prompt: str) -> dict[str, Any]:
        asked: dict[str, Any] = {"model": model, "max_tokens": self.output_tokens, "temperature": 0}
        # Without it, a model that ends early makes the length of an answer a matter of chance.
        asked["ignore_eos"] = True
        if self.stream:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.api == "chat":
            return asked | {"messages": [{"role": "user", "content": prompt}]}
        return asked | {"prompt": prompt}

"""Workloads from files: prompts or traces that somebody recorded, checked whole before any load."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

from instruments.arrivals import ArrivalProcess, Arrivals, Replay
from instruments.errors import ConfigurationError
from instruments.records import Phase, Request
from instruments.workloads.bodies import PATHS, Api, Message, body
from instruments.workloads.composing import Composer
from instruments.workloads.conversations import chained
from instruments.workloads.entries import Entry, Turn
from instruments.workloads.lengths import Length, drawing
from instruments.workloads.pacing import check_most, paced
from instruments.workloads.recorded import Format, Needs, content_sha256, entries_of
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary


@dataclass(frozen=True, slots=True)
class FileWorkload:
    """Requests of a file, at the recorded times or at others.

    `path` is relative to the working directory. `first` takes so many of the file's requests, the earliest
    where the file has times. `speed` 2 replays twice as fast; `users`, `rate_per_s` or `arrival_process`
    (`arrivals` in YAML) replace recorded times. `output_tokens` is for lines that do not say. Conversations
    are asked with `think_s` between turns; completions and generate get their first user message alone.
    `requests_warmup` and `requests_cooldown` are the file's first and last requests, marked as such.
    `requests_measured` and `requests_most`, given together and instead of `first`, take as many as measure
    `requests_most`, where the file has them; a run may end once it has measured `requests_measured` and all
    is decided that is judged on it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "alias_generator": lambda name: "arrivals" if name == "arrival_process" else name,
    }

    id: str
    description: str
    path: str
    format: Format
    first: int | None = None
    speed: float = 1.0
    requests_warmup: int = 0
    requests_cooldown: int = 0
    requests_measured: int | None = None
    requests_most: int | None = None
    output_tokens: Length | None = None
    think_s: float = 0.0
    block_tokens: int = 512  # of a Mooncake trace's hash ids
    api: Api = "chat"
    stream: bool = True
    users: int | None = None
    rate_per_s: float | None = None
    arrival_process: Arrivals | None = None
    kind: Literal["file"] = "file"

    def __post_init__(self) -> None:
        if not (self.first is None or self.first >= 1) or self.block_tokens < 1:
            raise ValueError("first and block_tokens must be at least 1")
        if min(self.requests_warmup, self.requests_cooldown) < 0 or not 0 <= self.think_s < math.inf:
            raise ValueError("requests_warmup, requests_cooldown and think_s must be at least 0")
        self._check_budget()
        if not 0 < self.speed < math.inf:
            raise ValueError(f"speed must be > 0, got {self.speed}")
        if paced(self.users, self.rate_per_s, self.arrival_process) is not None and self.speed != 1:
            raise ValueError("speed is for recorded times, which users, rate_per_s and arrivals replace")

    def check(self) -> int:
        """Read and check all of the file; how many sessions it gives. ConfigurationError names a bad line."""
        _ = self.arrivals
        found = len(self._entries())
        if self.requests_measured is not None:
            fewest = self.requests_warmup + self.requests_measured + self.requests_cooldown
            if found < fewest:
                raise ConfigurationError(
                    f"{self.path} holds too few requests to measure {self.requests_measured}",
                    expected=f"at least {fewest}, warm-up and cool-down included",
                    seen=f"{found} requests",
                )
        return found

    @property
    def arrivals(self) -> ArrivalProcess:
        """What was given, or the recorded times. ConfigurationError where there are none."""
        process = paced(self.users, self.rate_per_s, self.arrival_process)
        if process is not None:
            return process
        times = [entry.at_s for entry in self._entries() if entry.at_s is not None]
        if not times:
            raise ConfigurationError(
                f"{self.path} does not say when its requests are due",
                expected="users, rate_per_s or arrivals in the workload, or times in the file",
            )
        return Replay(tuple(times), self.speed)

    def requests(self, model: str, seed: int, vocabulary: Vocabulary = WORDS_AS_TOKENS) -> Iterator[Request]:
        """First turns in sending order; ConfigurationError, before the first of them, for a bad line."""
        entries, seed_text, index = self._entries(), f"{self.id}/{seed}", 0
        maker = _Maker(self, Composer(vocabulary, self.api, seed_text), model, f"{self.id}-{seed}")
        for number, entry in enumerate(entries):
            asked = maker.session(
                entry, Random(f"{seed_text}/{number}"), number, index, self._phase(number, len(entries))
            )
            index += len(asked)
            yield chained(asked)

    def fingerprint(self) -> str:
        """A hash of all that the workload asks for: the file's content is in it, the file's name is not."""
        told = {key: value for key, value in asdict(self).items() if key not in ("description", "path")}
        if self.requests_most is None:  # as before there was such a thing: saved runs can be compared
            del told["requests_measured"], told["requests_most"]
        told["sha256"] = content_sha256(Path(self.path))
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def _entries(self) -> tuple[Entry, ...]:
        api: Literal["chat", "text"] = "chat" if self.api == "chat" else "text"
        needs = Needs(self.format, self.block_tokens, api, output_tokens=self.output_tokens is None)
        return entries_of(Path(self.path), needs, self._taken())

    def _taken(self) -> int | None:
        """How many of the file's requests; None: all."""
        if self.requests_most is None:
            return self.first
        return self.requests_warmup + self.requests_most + self.requests_cooldown

    def _check_budget(self) -> None:
        if (self.requests_measured is None) != (self.requests_most is None):
            raise ValueError("requests_measured and requests_most of a file are given together, or neither")
        if self.requests_measured is None:
            return
        if self.first is not None:
            raise ValueError("first does not go with requests_most, which says how many are taken")
        if self.requests_measured < 1:
            raise ValueError("requests_measured must be at least 1")
        check_most(self.requests_measured, self.requests_most)

    def _phase(self, number: int, total: int) -> Phase:
        if number < self.requests_warmup:
            return Phase.WARMUP
        return Phase.MEASURED if number < total - self.requests_cooldown else Phase.COOLDOWN


class _Maker:
    """Turns entries of a file into requests.

    Request ids are of workload, seed and index alone: two runs of one seed have the same. Whoever joins them
    with a server's log needs a log of one run, or the time besides.
    """

    def __init__(self, workload: FileWorkload, composer: Composer, model: str, name: str) -> None:
        self._workload = workload
        self._composer = composer
        self._model = model
        self._name = name
        self._output = drawing(1 if workload.output_tokens is None else workload.output_tokens)

    def session(self, entry: Entry, rng: Random, number: int, index: int, phase: Phase) -> list[Request]:
        """The turns of an entry; only a chat has more than the first."""
        api, found = self._workload.api, []
        for turn, told in enumerate(entry.turns if api == "chat" else entry.turns[:1]):
            output_tokens = self._output(rng) if told.output_tokens is None else told.output_tokens
            prompt = self._prompt(told, rng, number)
            request = Request(
                index=index + turn,
                request_id=f"{self._name}-{index + turn}",
                path=PATHS[api],
                body=body(api, self._model, prompt, output_tokens, stream=self._workload.stream),
                stream=self._workload.stream,
                phase=phase,
                turn=turn,
                think_s=self._workload.think_s if turn else 0.0,
                prompt_tokens_asked=told.prompt_tokens,
            )
            found.append(request)
        return found

    def _prompt(self, told: Turn, rng: Random, number: int) -> str | list[Message]:
        if told.prompt_tokens is not None:
            if told.hash_ids:
                return self._composer.blocks(told.hash_ids, told.prompt_tokens, self._workload.block_tokens)
            return self._composer.text(rng, told.prompt_tokens, number)
        assert told.prompt is not None  # noqa: S101 - the readers give a text where they give no length
        if isinstance(told.prompt, str):
            return told.prompt
        return list(told.prompt) if self._workload.api == "chat" else str(told.prompt[-1]["content"])

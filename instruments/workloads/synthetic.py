"""Synthetic workloads: random prompts of stated lengths, unique unless a cache is the question."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, ClassVar, Literal

from instruments.arrivals import ArrivalProcess, Arrivals
from instruments.records import Phase, Request
from instruments.workloads.bodies import PATHS, Api, body
from instruments.workloads.composing import Composer
from instruments.workloads.conversations import chained
from instruments.workloads.lengths import Draw, Length, drawing
from instruments.workloads.mixes import Leave, Prefix, Recipe, Rota, Scenario
from instruments.workloads.pacing import check_most, paced
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary


@dataclass(frozen=True, slots=True)
class SyntheticWorkload:
    """Requests of a seed: how many, how long, how they are spread over scenarios, and when they are due.

    Lengths are tokens of the served model, a prompt's with its template. With `turns`, each of the
    `requests_*` is a conversation, and `think_s` passes between an answer and the next turn.
    With `requests_most` the plan goes on for so many measured ones, and a run may end once it has measured
    `requests_measured` and all is decided that is judged on it.
    One of `users` (closed loop), `rate_per_s` (constant) and `arrival_process` (`arrivals` in YAML) is given.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "alias_generator": lambda name: "arrivals" if name == "arrival_process" else name,
    }

    id: str
    description: str
    requests_measured: int
    output_tokens: Length | None = None
    prompt_tokens: Length = 24
    requests_warmup: int = 4
    requests_cooldown: int = 0
    requests_most: int | None = None
    api: Api = "chat"
    stream: bool = True
    users: int | None = None
    rate_per_s: float | None = None
    arrival_process: Arrivals | None = None
    prefix: Prefix | None = None
    turns: Length = 1
    think_s: float = 0.0
    leave: Leave | None = None
    mix: tuple[Scenario, ...] = ()
    kind: Literal["synthetic"] = "synthetic"

    def __post_init__(self) -> None:
        if self.requests_measured < 1 or min(self.requests_warmup, self.requests_cooldown) < 0:
            raise ValueError("requests_measured must be at least 1, requests_warmup and _cooldown at least 0")
        check_most(self.requests_measured, self.requests_most)
        if not 0 <= self.think_s < math.inf:
            raise ValueError(f"think_s must be >= 0, got {self.think_s}")
        _ = self.arrivals  # its own bounds are checked where it is made
        names = [scenario.name for scenario in self.mix]
        if len(set(names)) != len(names):
            raise ValueError("two scenarios of the mix have the same name")
        recipes = self.recipes()  # whose bounds are checked where they are made
        if self.api != "chat" and any(recipe.turns != 1 for recipe in recipes):
            raise ValueError("only a chat has turns")

    @property
    def arrivals(self) -> ArrivalProcess:
        process = paced(self.users, self.rate_per_s, self.arrival_process)
        if process is None:
            raise ValueError("give either users (closed loop), rate_per_s (constant arrivals) or arrivals")
        return process

    def check(self) -> int:
        """How many sessions it gives at most. What could be wrong with it was refused when it was made."""
        return self.requests_warmup + self._most() + self.requests_cooldown

    def recipes(self) -> list[Recipe]:
        """The scenarios of the mix, or the one that the workload is, with nothing left open."""
        return [self._recipe(scenario) for scenario in self.mix or (Scenario(""),)]

    def requests(self, model: str, seed: int, vocabulary: Vocabulary = WORDS_AS_TOKENS) -> Iterator[Request]:
        """First turns in sending order. The n-th depends on the workload, the seed and n alone."""
        seed_text = f"{self.id}/{seed}"
        composer = Composer(vocabulary, self.api, seed_text)
        lines = [_Line(self, recipe, composer, model) for recipe in self.recipes()]
        rota = Rota([scenario.weight for scenario in self.mix] or [1], seed_text)
        index = 0
        for number in range(self.check()):
            line = lines[rota.at(number)]
            asked = line.session(
                Random(f"{seed_text}/{number}"), number, index, f"{self.id}-{seed}", self._phase(number)
            )
            index += len(asked)
            yield asked[0] if len(asked) == 1 else chained(asked)

    def fingerprint(self) -> str:
        """A hash of all that the workload asks for."""
        told = {name: value for name, value in asdict(self).items() if name != "description"}
        if self.requests_most is None:  # as before there was such a thing: saved runs can be compared
            del told["requests_most"]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def _phase(self, number: int) -> Phase:
        if number < self.requests_warmup:
            return Phase.WARMUP
        return Phase.MEASURED if number < self.requests_warmup + self._most() else Phase.COOLDOWN

    def _most(self) -> int:
        return self.requests_measured if self.requests_most is None else self.requests_most

    def _recipe(self, scenario: Scenario) -> Recipe:
        output_tokens = self.output_tokens if scenario.output_tokens is None else scenario.output_tokens
        if output_tokens is None:
            whose = f" of the scenario {scenario.name!r}" if scenario.name else ""
            raise ValueError(f"output_tokens{whose} is not given")
        return Recipe(
            name=scenario.name,
            prompt_tokens=self.prompt_tokens if scenario.prompt_tokens is None else scenario.prompt_tokens,
            output_tokens=output_tokens,
            turns=self.turns if scenario.turns is None else scenario.turns,
            think_s=self.think_s if scenario.think_s is None else scenario.think_s,
            prefix=self.prefix if scenario.prefix is None else scenario.prefix,
            leave=self.leave if scenario.leave is None else scenario.leave,
        )


class _Line:
    """Makes the sessions of one recipe; what they share is prepared once."""

    def __init__(self, workload: SyntheticWorkload, recipe: Recipe, composer: Composer, model: str) -> None:
        self._workload = workload
        self._recipe = recipe
        self._composer = composer
        self._model = model
        self._prompt: Draw = drawing(recipe.prompt_tokens)
        self._output: Draw = drawing(recipe.output_tokens)
        self._turns: Draw = drawing(recipe.turns)

    def session(self, rng: Random, number: int, index: int, name: str, phase: Phase) -> list[Request]:
        """The turns of a session, most often one; a client that leaves has no turn after that."""
        found: list[Request] = []
        for turn in range(self._turns(rng)):
            found.append(self._turn(rng, number, index + turn, name, phase, turn))
            if found[-1].cancel_after_s is not None or found[-1].cancel_after_tokens is not None:
                break
        return found

    def _turn(self, rng: Random, number: int, index: int, name: str, phase: Phase, turn: int) -> Request:
        """One request. Its id is of workload, seed and index alone: two runs of one seed have the same, and
        whoever joins them with a server's log needs a log of one run, or the time besides.
        """
        recipe, api, stream = self._recipe, self._workload.api, self._workload.stream
        tokens, output_tokens = self._prompt(rng), self._output(rng)
        leave = recipe.leave if recipe.leave is not None and rng.random() < recipe.leave.share else None
        text = self._composer.text(rng, tokens, number, recipe.prefix if turn == 0 else None, recipe.name)
        return Request(
            index=index,
            request_id=f"{name}-{index}",
            path=PATHS[api],
            body=body(api, self._model, text, output_tokens, stream=stream),
            stream=stream,
            phase=phase,
            cancel_after_s=leave.after_s if leave else None,
            cancel_after_tokens=leave.after_tokens if leave else None,
            scenario=recipe.name,
            turn=turn,
            think_s=recipe.think_s if turn else 0.0,
            # A later turn's prompt grows by real answers: nobody can ask for its length.
            prompt_tokens_asked=tokens if turn == 0 else None,
        )

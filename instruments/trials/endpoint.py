"""An endpoint under trial, and one load on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from instruments.fleet import LoadSpec, processes_for, run_load
from instruments.limits import RunLimits
from instruments.looks import Rule
from instruments.records import LoadRun
from instruments.remote import Post
from instruments.target import Target
from instruments.workloads.catalog import AnyWorkload
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, what is known of it, and how loads on it are bounded. `simulated` None: nobody says."""

    target: Target
    model: str
    vocabulary: Vocabulary = WORDS_AS_TOKENS
    simulated: bool | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    processes: str | int = 1
    crew: tuple[Post, ...] = ()  # sent from there instead of from processes of this machine

    def told(self) -> dict[str, Any]:
        """What may be written of it: never its key."""
        return {"base_url": self.target.base_url, "model": self.model, "simulated": self.simulated}

    def load(
        self,
        workload: AnyWorkload,
        seed: int,
        journal: Path,
        *,
        about: Mapping[str, Any],
        duration_s: float | None = None,
        until: Callable[[LoadSpec], Rule] | None = None,
    ) -> LoadRun:
        """Put one load on it. `about` goes into the journal's description; `until` makes run_load's rule."""
        spec = LoadSpec(
            name=journal.stem,
            workload=workload,
            target=self.target,
            model=self.model,
            seed=seed,
            journal=journal,
            vocabulary=self.vocabulary,
            limits=self.limits,
            duration_s=duration_s,
            processes=processes_for(self.processes, workload),
            crew=self.crew,
            description={
                **self.told(),
                "api": workload.api,
                "seed": seed,
                "workload": asdict(workload),
                "workload_sha256": workload.fingerprint(),
                **about,
            },
        )
        return run_load(spec, until=until(spec) if until is not None else None)

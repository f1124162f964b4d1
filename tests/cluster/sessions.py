"""Sessions: pytest against the cluster, each a process of its own with a bound, and the run that it left."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.session_run import SessionRun, started
from tests.kubernetes.cluster import Kubectl

SESSION_BOUND_S = 400.0


@dataclass(frozen=True, slots=True)
class Context:
    """How a child finds the cluster: the context's name, and the environment that holds the kubeconfig."""

    name: str
    environment: Mapping[str, str]

    @property
    def words(self) -> tuple[str, str]:
        """For the command line of pytest and of `python -m environments`."""
        return ("--context", self.name)


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that came to its end: pytest's exit code, its terminal, the run's own record and folder."""

    code: int
    output: str
    run: SessionRun

    @property
    def folder(self) -> Path:
        """The run's folder; AssertionError where the session made none."""
        return self.run.folder

    @property
    def run_id(self) -> str:
        return self.folder.name


@dataclass(frozen=True, slots=True)
class Sessions:
    """Starts sessions of this suite with the context of the cluster in question, each in its own folder."""

    context: Context
    place: Path

    @contextmanager
    def started(
        self, *words: str | Path, environment: Mapping[str, str] | None = None
    ) -> Iterator[SessionRun]:
        """A session that runs meanwhile; killed at the end if it still does. `words` go to pytest."""
        count = len(list(self.place.iterdir())) if self.place.is_dir() else 0
        extra = {**self.context.environment, **(environment or {})}
        with started(self.place / str(count), *words, *self.context.words, environment=extra) as run:
            yield run

    def __call__(
        self,
        *words: str | Path,
        bound_s: float = SESSION_BOUND_S,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """A session to its end. AssertionError with its terminal where the bound is over."""
        with self.started(*words, environment=environment) as run:
            code = run.wait(bound_s)
        return Ended(code, run.output, run)


def context_of(kubectl: Kubectl) -> Context:
    """The context that kubectl's arguments lead to; its name is told, as whoever runs the suite tells it."""
    flag, value = kubectl.arguments
    if flag == "--kubeconfig":
        return Context(kubectl("config", "current-context").strip(), {"KUBECONFIG": value})
    named = os.environ.get("KUBECONFIG")
    return Context(value, {"KUBECONFIG": named} if named else {})

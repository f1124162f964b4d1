"""Loads: the journals of a run, each read and summarized; one that cannot be read is a named problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from instruments.errors import JournalError
from instruments.journal import load_run
from instruments.records import LoadRun
from instruments.results import RunFolder
from instruments.statistics import RunSummary, summarize
from instruments.telemetry.record import ServerRecord

# What reading a line of another shape than ours ends in. A page says so and goes on.
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Load:
    """One journal, read: `journal` is its path relative to the run's folder."""

    journal: str
    run: LoadRun
    summary: RunSummary

    @property
    def workload(self) -> dict[str, Any]:
        """What was asked, as the journal describes it; empty when it does not."""
        described = self.run.description.get("workload")
        return described if isinstance(described, dict) else {}

    @property
    def workload_id(self) -> str | None:
        return self.workload.get("id")

    @property
    def simulated(self) -> bool:
        return bool(self.run.description.get("simulated"))

    @property
    def sampling(self) -> dict[str, Any]:
        """How often the run was looked at while it went; empty for a run of a planned size."""
        described = self.run.description.get("sampling")
        return described if isinstance(described, dict) else {}

    @property
    def judged(self) -> int:
        """Requests that count: all that were due, but for those cancelled on purpose."""
        return self.summary.completed + self.summary.errors


def read_loads(folder: RunFolder) -> tuple[list[Load], list[str]]:
    """(every journal that can be read, what is wrong with any of them)."""
    loads: list[Load] = []
    problems: list[str] = []
    for path in folder.journals():
        name = str(path.relative_to(folder.path))
        try:
            run = load_run(path)
            load = Load(name, run, summarize(run, _server(folder, path.stem)))
        except JournalError as error:
            why = f"expected {error.expected}, seen {error.seen}" if error.expected else error.seen or ""
            problems.append(f"{name} cannot be read: {why}")
        except MALFORMED as error:
            problems.append(f"{name} cannot be read: a line has another shape ({_said(error)})")
        else:
            loads.append(load)
            problems += [f"{name}: {problem}" for problem in run.problems]
    return loads, problems


def _server(folder: RunFolder, name: str) -> ServerRecord | None:
    """What the server said of itself around a load; None where nothing was kept."""
    kept = f"loads/{name}.server.json"
    if not (folder.path / kept).exists():
        return None
    return ServerRecord.from_document(folder.read_document(kept))


def find(loads: Sequence[Load], journal: str) -> Load | None:
    """The load of a journal's name, or None."""
    return next((load for load in loads if load.journal == journal), None)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

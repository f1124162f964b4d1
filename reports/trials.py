"""Interleaved comparisons that a run made: trials/<name>/ with their journals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instruments.results import RunFolder
from instruments.trials.interleaved import DOCUMENT


@dataclass(frozen=True, slots=True)
class Trial:
    """One comparison of two endpoints: its name, and the document that it left."""

    name: str
    document: dict[str, Any]


def read_trials(folder: RunFolder) -> tuple[list[Trial], list[str]]:
    """(every comparison that can be read, what is wrong with any of them)."""
    found: list[Trial] = []
    problems: list[str] = []
    for path in sorted(folder.path.glob(f"trials/*/{DOCUMENT}")):
        name = str(path.relative_to(folder.path))
        document = folder.read_document(name)
        if document is None:
            problems.append(f"{name} cannot be read")
        else:
            found.append(Trial(path.parent.name, document))
    return found, problems

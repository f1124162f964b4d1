"""Searches for capacity that a run made: capacity/<workload>/capacity.json with its journals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instruments.results import RunFolder


@dataclass(frozen=True, slots=True)
class Search:
    """One search: the workload that it varied, and the document that it left."""

    workload: str
    document: dict[str, Any]


def read_searches(folder: RunFolder) -> tuple[list[Search], list[str]]:
    """(every search that can be read, what is wrong with any of them)."""
    found: list[Search] = []
    problems: list[str] = []
    for path in sorted(folder.path.glob("capacity/*/capacity.json")):
        name = str(path.relative_to(folder.path))
        document = folder.read_document(name)
        if document is None:
            problems.append(f"{name} cannot be read")
        else:
            found.append(Search(path.parent.name, document))
    return found, problems

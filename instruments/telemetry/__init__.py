"""What the server says of itself: samples at an instant, from whichever source a stack has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All samples of one component at one instant; `families` maps a metric's name to its type."""

    samples: Mapping[tuple[str, Labels], float]
    families: Mapping[str, str] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float | None:
        """Sum over all series of a name that carry these labels; None when there is none."""
        wanted = set(labels.items())
        found = [value for (one, has), value in self.samples.items() if one == name and wanted <= has]
        return sum(found) if found else None


class Telemetry(Protocol):
    """A source of snapshots."""

    @property
    def source(self) -> str:
        """Where the numbers come from, in words for the report."""
        ...

    def snapshot(self) -> Snapshot:
        """The component's samples, none older than this call. Raises TelemetryError."""
        ...


def increase(before: Snapshot, after: Snapshot, name: str, **labels: str) -> float | None:
    """How much a counter grew, summed over its series; None when it is absent afterwards.

    A series that went down was reset, and counts from 0 (as in Prometheus' `increase`, without its
    extrapolation). A series that was absent before started at 0.
    """
    wanted, grown, seen = set(labels.items()), 0.0, False
    for (one, has), value in after.samples.items():
        if one != name or not wanted <= has:
            continue
        earlier = before.samples.get((one, has), 0.0)
        grown += value - earlier if value >= earlier else value
        seen = True
    return grown if seen else None

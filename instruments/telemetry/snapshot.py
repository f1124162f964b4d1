"""Snapshots: all samples of one component at one instant, whichever source they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Labels = frozenset[tuple[str, str]]
BOUNDS = ("le", "quantile")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All samples of one component at one instant; `families` maps a metric's name to its type."""

    samples: Mapping[tuple[str, Labels], float]
    families: Mapping[str, str] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float | None:
        """Sum over all series of a name that carry these labels; None when there is none.

        A series whose value is not a number says nothing, and is left out.
        """
        found = [value for value in self.series(name, **labels).values() if not math.isnan(value)]
        return sum(found) if found else None

    def series(self, name: str, **labels: str) -> dict[Labels, float]:
        """The value of each series of a name that carries these labels, NaN included."""
        wanted = set(labels.items())
        return {has: value for (one, has), value in self.samples.items() if one == name and wanted <= has}


def labels_of(labels: Mapping[str, str]) -> Labels:
    """Labels with a bucket's bound spelled one way: `1`, `1.0` and `1e0` are one bound.

    Clients differ in it, and Prometheus 3 rewrites what it scrapes while Prometheus 2 does not.
    """
    return frozenset((name, _bound(text) if name in BOUNDS else text) for name, text in labels.items())


def _bound(text: str) -> str:
    try:
        bound = float(text)
    except ValueError:  # a label of that name that is not a bound
        return text
    return "+Inf" if bound == math.inf else repr(bound)

"""What the server said around and during one load, as it is kept beside the load's journal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from instruments.telemetry.snapshot import Snapshot

SCHEMA = 1
NOWHERE = "none"  # the source of numbers that nobody could be asked for


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one gauge. `at_s`: Unix seconds of the client's wall clock, ascending."""

    at_s: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def within(self, start_unix_s: float, end_unix_s: float) -> Series:
        """The samples between two instants, those at the instants too."""
        kept = [
            (at_s, value)
            for at_s, value in zip(self.at_s, self.values, strict=True)
            if start_unix_s <= at_s <= end_unix_s
        ]
        return Series(tuple(at_s for at_s, _ in kept), tuple(value for _, value in kept))

    def numbers(self) -> Series:
        """Without the samples that are not a number."""
        kept = [(a, v) for a, v in zip(self.at_s, self.values, strict=True) if not math.isnan(v)]
        return Series(tuple(a for a, _ in kept), tuple(v for _, v in kept))

    def every_s(self) -> float | None:
        """The time between two samples, as it mostly is; None for fewer than two."""
        gaps = sorted(later - earlier for earlier, later in pairwise(self.at_s))
        return gaps[len(gaps) // 2] if gaps else None


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """The server's own numbers around one load, and those of its GPUs.

    `series` has `running` and `waiting` (over all engines), `kv_cache_usage` (of the fullest), and of each
    GPU `gpu0.power_w`, `gpu0.memory_bytes` and the like. What could not be had is absent and told in
    `problems`: it costs verdicts on the server's numbers, never the run.
    """

    source: str
    before: Snapshot | None = None
    after: Snapshot | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    every_s: float | None = None  # between samples of the server's gauges
    clock_error_s: float | None = None  # the client's window lies on the source's clock to within so much
    problems: tuple[str, ...] = ()
    clock_offset_s: float | None = None  # source's clock less the client's: `series` has it taken off already

    def document(self) -> dict[str, Any]:
        """All of it for a JSON file; `from_document` reads back what is equal."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "every_s": self.every_s,
            "clock_error_s": self.clock_error_s,
            "clock_offset_s": self.clock_offset_s,
            "problems": list(self.problems),
            "before": _snapshot_told(self.before),
            "after": _snapshot_told(self.after),
            "series": {
                name: {"at_s": list(one.at_s), "values": [_told(value) for value in one.values]}
                for name, one in self.series.items()
            },
        }

    @classmethod
    def from_document(cls, document: Any) -> ServerRecord:
        """What a file holds. One of an earlier version, or broken, is a record that tells just that."""
        try:
            schema = document.get("schema")
            if schema is None and {"before", "after"} <= document.keys():
                return nothing_known(
                    "the server's numbers were kept by an earlier version, as totals without their series"
                )
            if schema != SCHEMA:
                return nothing_known(
                    f"the server's numbers are kept in a form of schema {schema}, not {SCHEMA}"
                )
            return cls(
                source=str(document["source"]),
                before=_snapshot_read(document["before"]),
                after=_snapshot_read(document["after"]),
                series={
                    str(name): Series(
                        tuple(float(at_s) for at_s in one["at_s"]), tuple(float(v) for v in one["values"])
                    )
                    for name, one in document["series"].items()
                },
                every_s=_optional(document["every_s"]),
                clock_error_s=_optional(document["clock_error_s"]),
                problems=tuple(str(problem) for problem in document["problems"]),
                clock_offset_s=_optional(document["clock_offset_s"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return nothing_known(
                f"the server's numbers cannot be read from the folder: {type(error).__name__}: {error}"
            )


def nothing_known(why: str) -> ServerRecord:
    """The record of a load of which the server told nothing."""
    return ServerRecord(NOWHERE, problems=(why,))


def _snapshot_told(snapshot: Snapshot | None) -> dict[str, Any] | None:
    if snapshot is None:
        return None
    samples: dict[str, list[Any]] = {}
    for (name, labels), value in sorted(
        snapshot.samples.items(), key=lambda one: (one[0][0], sorted(one[0][1]))
    ):
        samples.setdefault(name, []).append([dict(sorted(labels)), _told(value)])
    return {"families": dict(sorted(snapshot.families.items())), "samples": samples}


def _snapshot_read(document: Any) -> Snapshot | None:
    if document is None:
        return None
    samples = {
        (str(name), frozenset((str(label), str(text)) for label, text in labels.items())): float(value)
        for name, series in document["samples"].items()
        for labels, value in series
    }
    return Snapshot(samples, {str(name): str(kind) for name, kind in document["families"].items()})


def _told(value: float) -> float | str:
    """JSON has no infinities and no NaN: they are said in words that `float` reads."""
    return value if math.isfinite(value) else str(value)


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)

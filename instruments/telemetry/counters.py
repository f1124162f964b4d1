"""Counters: how much they grew between two snapshots, what was reset meanwhile, and what vanished."""

from __future__ import annotations

import math
from dataclasses import dataclass

from instruments.telemetry.snapshot import Labels, Snapshot

STARTED = "process_start_time_seconds"
ENDINGS = ("_total", "_bucket", "_count", "_sum")
TOLERANCE_S = 0.5  # a start is told in ticks of the kernel's clock


@dataclass(frozen=True, slots=True)
class Growth:
    """How much a counter grew, summed over its series, and what is not in that sum."""

    value: float | None  # None: the counter is absent afterwards
    resets: int = 0  # series that began anew: what they counted up to then is lost, `value` is a lower bound
    vanished: tuple[Labels, ...] = ()  # series that are gone, or not a number at one end

    @property
    def exact(self) -> bool:
        """Whether the value is all there is to count."""
        return self.value is not None and not self.resets and not self.vanished


def increase(before: Snapshot, after: Snapshot, name: str, **labels: str) -> float | None:
    """How much a counter grew, summed over its series; None when it is absent afterwards.

    A series that was reset counts from 0 (as in Prometheus' `increase`, without its extrapolation). A
    series that was absent before started at 0. `growth` tells also what this leaves out.
    """
    return growth(before, after, name, **labels).value


def growth(before: Snapshot, after: Snapshot, name: str, **labels: str) -> Growth:
    """How much a counter grew, how many of its series were reset, and which of them vanished."""
    was, now = before.series(name, **labels), after.series(name, **labels)
    unknown = {has for has, value in [*was.items(), *now.items()] if math.isnan(value)} | (
        set(was) - set(now)
    )
    known = {has: value for has, value in now.items() if has not in unknown}
    grown, resets = 0.0, 0
    for has, value in known.items():
        earlier = was.get(has, 0.0)
        anew = has in was and (value < earlier or began_anew(before, after, name, has))
        grown += value if anew else value - earlier
        resets += anew
    vanished = tuple(sorted(unknown, key=sorted))
    return Growth(grown if known else None, resets, vanished)


def began_anew(before: Snapshot, after: Snapshot, name: str, labels: Labels) -> bool:
    """Whether a counter's series began anew in between, seen by its own or its process's time of birth.

    By its value alone a counter that was reset and has by now passed where it was looks as if it had
    never been. Clients in Python tell `_created`, most tell the start of the process.
    """
    births = [(f"{_stem(name)}_created", frozenset(one for one in labels if one[0] != "le"), 0.0)]
    births += [(STARTED, frozenset(one for one in labels if one[0] == "instance"), TOLERANCE_S)]
    return any(
        after.samples[one, has] > before.samples[one, has] + tolerance_s
        for one, has, tolerance_s in births
        if (one, has) in before.samples and (one, has) in after.samples
    )


def _stem(name: str) -> str:
    return next((name.removesuffix(end) for end in ENDINGS if name.endswith(end)), name)

"""The plan of a run, complete before it begins: which requests, when, until when, and whose part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from instruments.arrivals import ArrivalProcess
from instruments.limits import RunLimits
from instruments.records import Request


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a plan one process of several takes: every `of`-th session and user, from `number` on."""

    number: int = 0
    of: int = 1


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A run, complete before it begins: which requests, when, and until when.

    `requests` are sessions in sending order: single requests, or first turns with the rest hanging on
    them. Nothing becomes due `duration_s` after the start or later; None is until all were sent.
    """

    name: str
    requests: Iterable[Request]
    arrivals: ArrivalProcess
    limits: RunLimits = field(default_factory=RunLimits)
    description: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    duration_s: float | None = None
    share: Share = Share()

"""What a conservation law may find. The laws themselves are in the files beside this one."""

from __future__ import annotations

from dataclasses import dataclass

from instruments.slo.verdict import State


class Untold(Exception):
    """A law cannot be judged, and why: something that it needs was not said. Never a pass."""


@dataclass(frozen=True, slots=True)
class Balance:
    """One law against one load: what should be, and what is, in numbers."""

    state: State
    reason: str
    expected: str
    seen: str
    value: float | None = None  # seconds, of the laws that have a budget of time


def weighed(kept: bool, reason: str, expected: str, seen: str, value: float | None = None) -> Balance:
    """MET where it was kept, else VIOLATED."""
    return Balance(State.MET if kept else State.VIOLATED, reason, expected, seen, value)

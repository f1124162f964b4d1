"""Verdicts: MET, VIOLATED or INCONCLUSIVE, each with its evidence; and the errors that a test ends with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from instruments.errors import SloError
from instruments.slo.objective import ServiceLevelObjective
from instruments.statistics.indicators import INDICATORS

# A client whose own lag is more than this share of a limit measures itself, whatever it reads.
CLIENT_ERROR_SHARE = 0.5


class State(StrEnum):
    MET = "MET"
    VIOLATED = "VIOLATED"
    INCONCLUSIVE = "INCONCLUSIVE"


class VerdictError(SloError):
    """An objective was not met."""


class ObjectiveViolated(VerdictError):
    """The data show that the objective is broken."""


class ObjectiveInconclusive(VerdictError):
    """The data cannot tell. Never a pass."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement with what it rests on. `value` and the interval are in the indicator's unit.

    An interval's end of None is unbounded: requests that failed have no latency, only a place
    above every limit.
    """

    objective: ServiceLevelObjective
    run: str
    state: State
    reason: str
    requests: int  # that the judgement rests on; of gaps and samples, how many of these
    bad: int  # of these, how many were over the limit, failed or never sent
    value: float | None = None
    low: float | None = None
    high: float | None = None
    # How many more would decide it: good ones after a planned look, ones like those so far at an open one.
    requests_more: int | None = None
    requests_effective: float | None = None  # independent ones that these are worth; None where not estimated
    family: int = 1  # objectives that share the chance of a false VIOLATED
    trimmed: int = 0  # leading requests left out, before the run was steady
    test: str = ""  # what decided, in words

    @property
    def headroom(self) -> float | None:
        """Limit over value (or its inverse for `at_least`): 3.0 is a third of the limit."""
        if not self.value or self.value <= 0:
            return None
        ratio = self.objective.limit / self.value
        return ratio if self.objective.at_most is not None else 1 / ratio

    def require_met(self) -> None:
        """Raise unless a required objective was met: an INCONCLUSIVE never passes."""
        if self.state is State.MET or not self.objective.required:
            return
        kind = ObjectiveViolated if self.state is State.VIOLATED else ObjectiveInconclusive
        raise kind(
            f"{self.state}: {self.objective.id}: {self.reason}",
            expected=f"{self.objective} at {self.objective.confidence:.0%} confidence",
            seen=self.measured(),
            hint=f"{self.requests_more} more requests would decide it" if self.requests_more else None,
        )

    def measured(self) -> str:
        """The value with its interval, its count and its bad ones, as one line."""
        indicator = INDICATORS[self.objective.indicator]
        value = "–" if self.value is None else f"{self.value:.4g}{indicator.suffix}"
        interval = ""
        if self.low is not None or self.high is not None:
            ends = (
                "–" if self.low is None else f"{self.low:.4g}",
                "∞" if self.high is None else f"{self.high:.4g}",
            )
            interval = f" [{ends[0]}, {ends[1]}]"
        return f"{value}{interval}, {self._counted(indicator.kind)}"

    def _counted(self, kind: str) -> str:
        if kind == "server" and self.objective.statistic == "count":
            return "counted"
        if kind in ("rate", "economy"):
            return f"of {self.requests} requests"
        if kind in ("server", "gpu"):
            histogram = INDICATORS[self.objective.indicator].histogram
            return f"of {self.requests} {'requests' if histogram else 'samples'}"
        return f"{self.bad} of {self.requests} {'gaps' if kind == 'gap' else 'requests'} bad"

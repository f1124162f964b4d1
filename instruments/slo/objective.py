"""Service level objectives: read from YAML, checked whole before any load."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from instruments.catalog import load_yaml
from instruments.errors import ConfigurationError
from instruments.statistics.indicators import INDICATORS, Indicator


@dataclass(frozen=True, slots=True)
class ServiceLevelObjective:
    """One limit on one indicator, in the words of OpenSLO. Times in seconds, shares 0 to 1.

    Exactly one of `at_most` and `at_least` is given. `confidence` is that of the verdict: a MET or a
    VIOLATED is wrong in at most a share 1 − confidence of equal runs of independent requests.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    description: str
    workload: str
    indicator: str
    statistic: str
    at_most: float | None = None
    at_least: float | None = None
    confidence: float = 0.95
    required: bool = True
    per_request: dict[str, float] = field(default_factory=dict)  # goodput: limit of each indicator

    def __post_init__(self) -> None:
        known = INDICATORS.get(self.indicator)
        if known is None:
            raise ValueError(f"indicator {self.indicator!r} is unknown; known: {', '.join(INDICATORS)}")
        if self.statistic not in known.statistics:
            raise ValueError(f"{self.indicator} has the statistics {', '.join(known.statistics)}")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence is at least 0.5 and below 1, got {self.confidence}")
        self._check_limit(known)
        self._check_goodput()

    @property
    def limit(self) -> float:
        """The limit, whichever side it is on."""
        return self.at_least if self.at_most is None else self.at_most  # type: ignore[return-value]  # one is given

    @property
    def bad_share(self) -> float:
        """The largest share of requests that may be bad. A p95 limit lets 5 % be over it."""
        if self.statistic.startswith("p"):
            return 1 - self.quantile
        return 1 - self.limit if self.at_least is not None else self.limit

    @property
    def quantile(self) -> float:
        """0.95 for p95."""
        return round(float(self.statistic[1:]) / 100, 6)

    def with_limit(self, limit: float) -> ServiceLevelObjective:
        """The same objective with another limit: what a profile does to the catalog."""
        if self.at_most is not None:
            return replace(self, at_most=limit)
        return replace(self, at_least=limit)

    def __str__(self) -> str:
        side = "≤" if self.at_most is not None else "≥"
        known = INDICATORS[self.indicator]
        unit = " s" if known.unit == "s" else ""
        statistic = f"{self.statistic} " if known.unit == "s" else ""
        return f"{known.label} {statistic}{side} {self.limit:g}{unit}"

    def _check_limit(self, known: Indicator) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("give exactly one of at_most and at_least")
        if not math.isfinite(self.limit):
            raise ValueError(f"a limit is a finite number, got {self.limit}")
        if self.indicator == "goodput_share" and self.at_least is None:
            raise ValueError("goodput_share takes at_least")
        if self.indicator != "goodput_share" and self.at_most is None:
            raise ValueError(f"{self.indicator} takes at_most")
        if known.unit == "share" and not 0 < self.limit < 1:
            # No sample can prove a share of exactly 0 or 1; `errors` with `count` says "none in this run".
            raise ValueError(f"a share lies between 0 and 1, both excluded, got {self.limit:g}")
        if known.unit == "s" and not self.limit > 0:
            raise ValueError(f"a limit in seconds is above 0, got {self.limit:g}")
        if known.unit == "requests" and (self.limit < 0 or self.limit != int(self.limit)):
            raise ValueError(f"a count of requests is a whole number, 0 or more, got {self.limit:g}")

    def _check_goodput(self) -> None:
        if (self.indicator == "goodput_share") != bool(self.per_request):
            raise ValueError("per_request limits belong to goodput_share, which needs at least one")
        for name, limit in self.per_request.items():
            if name not in INDICATORS or not INDICATORS[name].per_request or not 0 < limit < math.inf:
                timed = ", ".join(name for name, known in INDICATORS.items() if known.per_request)
                raise ValueError(f"per_request.{name}: a limit above 0 on one of {timed}")


def load_objectives(path: Path) -> dict[str, ServiceLevelObjective]:
    """Read a file of `objectives:`; ConfigurationError names the file, the field and what is allowed."""
    objectives = load_yaml(path, ServiceLevelObjective, under="objectives")
    by_id = {objective.id: objective for objective in objectives}
    if len(by_id) != len(objectives):
        raise ConfigurationError(f"{path}: an objective's id is used twice", expected="ids that differ")
    return by_id

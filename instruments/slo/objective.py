"""Service level objectives: read from YAML, checked whole before any load."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Strict

from instruments.catalog import load_yaml
from instruments.errors import ConfigurationError
from instruments.slo.applies import EVERYWHERE, Applies
from instruments.statistics.indicators import INDICATORS, Indicator

EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")


def _number(told: object) -> object:
    """1e-6 is a number to everybody but YAML 1.1, which wants 1.0e-6 and takes this for a word."""
    return float(told) if isinstance(told, str) and EXPONENT.fullmatch(told) else told


# As they are written: "0.2" in quotes is a word, `true` is no second, and "no" in quotes is not false.
Number: TypeAlias = Annotated[float, Strict(), BeforeValidator(_number)]
Switch: TypeAlias = Annotated[bool, Strict()]


@dataclass(frozen=True, slots=True)
class ServiceLevelObjective:
    """One limit on one indicator, in the words of OpenSLO. Times in seconds, shares 0 to 1.

    Exactly one of `at_most` and `at_least` is given. `confidence` is that of the verdict: a MET or a
    VIOLATED is wrong in at most a share 1 − confidence of equal runs of independent requests; the
    required objectives of a `family` share that of VIOLATED. An advisory one is judged, and fails nothing.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    description: str
    workload: str
    indicator: str
    statistic: str
    at_most: Number | None = None
    at_least: Number | None = None
    confidence: Number = 0.95
    required: Switch = True
    per_request: dict[str, Number] = field(
        default_factory=dict
    )  # what a good request is: limits of indicators
    family: str = "gate"
    applies: Applies = EVERYWHERE
    cost_per_hour: Number | None = None  # of all that serves, in any currency: cost_per_good_token only

    def __post_init__(self) -> None:
        for name in ("id", "description", "workload"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty: an objective has words for it")
        known = INDICATORS.get(self.indicator)
        if known is None:
            raise ValueError(f"indicator {self.indicator!r} is unknown; known: {', '.join(INDICATORS)}")
        if self.statistic not in known.statistics:
            raise ValueError(f"{self.indicator} has the statistics {', '.join(known.statistics)}")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence is at least 0.5 and below 1, got {self.confidence}")
        if not self.family.strip():
            raise ValueError("a family has a name")
        self._check_limit(known)
        self._check_goodput(known)
        self._check_cost()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ServiceLevelObjective:
        """Again what `dataclasses.asdict` told, JSON's lists included; fields may lack that have defaults."""
        applies = Applies.from_document(document.get("applies") or {})
        return cls(**{**document, "applies": applies})

    @property
    def limit(self) -> float:
        """The limit, whichever side it is on."""
        return self.at_least if self.at_most is None else self.at_most  # type: ignore[return-value]  # one is given

    @property
    def is_quantile(self) -> bool:
        """Whether the statistic is p50 to p99.9."""
        return self.statistic[1:2].isdigit()

    @property
    def bad_share(self) -> float:
        """The largest share that may be bad, of quantiles and shares. A p95 limit lets 5 % be over it."""
        if self.is_quantile:
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
        statistic = f"{self.statistic} " if len(known.statistics) > 1 else ""
        return f"{known.label} {statistic}{side} {self.limit:g}{known.suffix}"

    def _check_limit(self, known: Indicator) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("give exactly one of at_most and at_least")
        if not math.isfinite(self.limit):
            raise ValueError(f"a limit is a finite number, got {self.limit}")
        side = "at_most" if self.at_least is None else "at_least"
        if known.side not in (side, "either"):
            raise ValueError(f"{self.indicator} takes {known.side}")
        if known.unit == "share" and not 0 < self.limit < 1:
            # No sample can prove a share of exactly 0 or 1; `errors` with `count` says "none in this run".
            raise ValueError(f"a share lies between 0 and 1, both excluded, got {self.limit:g}")
        if known.unit == "s" and not self.limit > 0:
            raise ValueError(f"a limit in seconds is above 0, got {self.limit:g}")
        if self.statistic == "count" and (self.limit < 0 or self.limit != int(self.limit)):
            raise ValueError(f"a count of {known.unit} is a whole number, 0 or more, got {self.limit:g}")
        if not (self.limit > 0 or (self.limit == 0 and known.unit in ("requests", "preemptions"))):
            raise ValueError(f"a limit on {self.indicator} is above 0, got {self.limit:g}")

    def _check_goodput(self, known: Indicator) -> None:
        if self.per_request and not known.good:
            those = ", ".join(name for name, one in INDICATORS.items() if one.good)
            raise ValueError(f"per_request limits belong to {those}")
        if known.good == "must" and not self.per_request:
            raise ValueError(
                f"{self.indicator} is of requests within per_request limits, and needs at least one"
            )
        for name, limit in self.per_request.items():
            if name not in INDICATORS or not INDICATORS[name].per_request or not 0 < limit < math.inf:
                timed = ", ".join(name for name, known in INDICATORS.items() if known.per_request)
                raise ValueError(f"per_request.{name}: a limit above 0 on one of {timed}")
        for part, whole in NEVER_LONGER:
            if self.per_request.get(part, 0) > self.per_request.get(whole, math.inf):
                raise ValueError(
                    f"per_request.{part}: no request has a {part} above its {whole}, which is limited to "
                    f"{self.per_request[whole]:g}: the limit {self.per_request[part]:g} says nothing"
                )

    def _check_cost(self) -> None:
        if (self.indicator == "cost_per_good_token") != (self.cost_per_hour is not None):
            raise ValueError("cost_per_hour belongs to cost_per_good_token, which needs it")
        if self.cost_per_hour is not None and not 0 < self.cost_per_hour < math.inf:
            raise ValueError(f"cost_per_hour is a finite number above 0, got {self.cost_per_hour}")


# Of one request the first is never longer than the second: a request is sent when it is due, or later.
NEVER_LONGER = (
    ("ttft_s", "ttft_from_due_s"),
    ("ttft_s", "e2e_s"),
    ("ttft_s", "e2e_from_due_s"),
    ("ttft_from_due_s", "e2e_from_due_s"),
    ("e2e_s", "e2e_from_due_s"),
)


def family_size(objectives: Iterable[ServiceLevelObjective], objective: ServiceLevelObjective) -> int:
    """How many objectives share this one's budget of false alarms, itself included.

    The required ones of its family among `objectives`, which are those that are judged here. An advisory
    one fails nothing, and is a family of its own.
    """
    if not objective.required:
        return 1
    ids = {one.id for one in objectives if one.required and one.family == objective.family}
    return len(ids | {objective.id})


def load_objectives(path: Path) -> dict[str, ServiceLevelObjective]:
    """Read a file of `objectives:`; ConfigurationError names the file, the field and what is allowed."""
    objectives = load_yaml(path, ServiceLevelObjective, under="objectives")
    if not objectives:
        raise ConfigurationError(
            f"{path} holds no objective", expected="a list of at least one under 'objectives'", seen="none"
        )
    by_id = {objective.id: objective for objective in objectives}
    if len(by_id) != len(objectives):
        raise ConfigurationError(f"{path}: an objective's id is used twice", expected="ids that differ")
    return by_id

"""The fields of OpenSLO v1 that an objective is read from, in Python's spelling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from instruments.slo.objective import Number

CAMEL_CASE = ConfigDict(alias_generator=to_camel)


@dataclass(frozen=True, slots=True)
class Metadata:
    name: str
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    spec: dict[str, Any]
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    __pydantic_config__: ClassVar[ConfigDict] = CAMEL_CASE

    metric_source: Source


@dataclass(frozen=True, slots=True)
class Ratio:
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None


@dataclass(frozen=True, slots=True)
class SliSpec:
    __pydantic_config__: ClassVar[ConfigDict] = CAMEL_CASE

    threshold_metric: Metric | None = None
    ratio_metric: Ratio | None = None


@dataclass(frozen=True, slots=True)
class Sli:
    spec: SliSpec
    metadata: Metadata | None = None


@dataclass(frozen=True, slots=True)
class Target:
    __pydantic_config__: ClassVar[ConfigDict] = CAMEL_CASE

    op: Literal["lte", "gte", "lt", "gt"] | None = None
    value: Number | None = None
    target: Number | None = None
    target_percent: Number | None = None


@dataclass(frozen=True, slots=True)
class SloSpec:
    __pydantic_config__: ClassVar[ConfigDict] = CAMEL_CASE

    objectives: list[Target]
    budgeting_method: str
    description: str = ""
    indicator: Sli | None = None
    indicator_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Slo:
    """One SLO. Fields that say nothing of the objective (service, window, alerts) are not looked at."""

    metadata: Metadata
    spec: SloSpec

"""The servers that rules are for: what their metrics are called, and the bounds of their histograms.

Bounds as in vLLM 0.32 (`vllm/v1/metrics/buckets.py`), and as the V0 engine had them. A histogram knows of
each bound how many events were at or below it, and nothing between.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from instruments.errors import ConfigurationError
from instruments.telemetry.vllm import NAMES, TABLE, Metric

Version = tuple[int, ...]

# By the families of `--custom-histogram-buckets`. Seconds.
BOUNDS_S: Mapping[str, tuple[float, ...]] = {
    "time_to_first_token": (
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
    ),
    "inter_token_latency": (
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        20.0, 40.0, 80.0,
    ),
    "request_latency": (
        0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0,
        240.0, 480.0, 960.0, 1920.0, 7680.0,
    ),
}  # fmt: skip
# Before the V1 engine the lists ended earlier, and the first releases began their requests at 1 s.
V1_SINCE: Version = (0, 9)
V0_TOP_S = {"time_to_first_token": 10.0, "inter_token_latency": 2.5, "request_latency": 60.0}
COARSE_UNTIL: Version = (0, 6, 4)
OLDEST: Version = (0, 6)  # the names of vLLM's releases before are those of this one
COARSE_LATENCY_S = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)

# Which of vLLM's families of bounds a histogram has, by our name of it.
FAMILIES: Mapping[str, str] = {
    "ttft": "time_to_first_token",
    "itl": "inter_token_latency",
    "tpot": "inter_token_latency",
    "e2e": "request_latency",
}


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """The servers that rules are for. `version` of None is "any": every name is asked for."""

    version: Version | None = None
    job: str | None = None  # Prometheus' name of the engines; None does not ask
    gateway_job: str | None = None
    custom_bounds_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def names(self, metric: str) -> tuple[str, ...]:
        """What the metric is called there, newest first; empty where it does not exist."""
        if self.version is None:
            return NAMES[metric]
        minor = max(self.version[:2], OLDEST)
        return tuple(one.name for one in TABLE[metric] if _exposes(minor, one))[:1]

    def bounds_s(self, metric: str) -> tuple[float, ...]:
        """The finite bounds of a histogram, in rising order."""
        family = FAMILIES[metric]
        if family in self.custom_bounds_s:
            return self.custom_bounds_s[family]
        bounds = BOUNDS_S[family]
        if self.version is None or self.version >= V1_SINCE:
            return bounds
        if family == "request_latency" and self.version < COARSE_UNTIL:
            return COARSE_LATENCY_S
        return tuple(bound for bound in bounds if bound <= V0_TOP_S[family])


def _exposes(minor: Version, metric: Metric) -> bool:
    """Whether a minor version has a metric under this name."""
    return _numbers(metric.since) <= minor and (metric.until is None or minor <= _numbers(metric.until))


def neighbours(bounds_s: tuple[float, ...], limit_s: float) -> tuple[float | None, float]:
    """The bounds next to a limit, both the limit itself where it is one. None: below the first.

    ConfigurationError beyond the last: all that the server knows there is "longer than the last bound".
    """
    if limit_s > bounds_s[-1]:
        raise ConfigurationError(
            f"a limit of {limit_s:g} s lies beyond the last finite bound of the server's histogram",
            expected=f"at most {bounds_s[-1]:g} s",
            seen=f"{limit_s:g} s",
            hint="start vLLM with --custom-histogram-buckets, and give the same to this command",
        )
    at = bisect_left(bounds_s, limit_s)
    if bounds_s[at] == limit_s:
        return limit_s, limit_s
    return (bounds_s[at - 1] if at else None), bounds_s[at]


def le(bound_s: float) -> str:
    """A matcher for a bound. Prometheus 3 stores "1.0" where a target said "1": whole ones match both."""
    if bound_s == int(bound_s):
        return f'le=~"{bound_s:.0f}|{bound_s:.0f}[.]0"'
    return f'le="{bound_s!r}"'


def read_version(words: str) -> Version | None:
    """0.32, 0.32.1 or v0.32.1; None for "any". ValueError for anything else."""
    if words == "any":
        return None
    found = re.match(r"v?(\d+(?:\.\d+){1,2})(?![\d.])", words)
    if found is None:
        raise ValueError(f"a version of vLLM is written like 0.32, or 'any', got {words!r}")
    return _numbers(found[1])


def _numbers(version: str) -> Version:
    return tuple(int(number) for number in version.split("."))


def read_bounds(words: str) -> dict[str, tuple[float, ...]]:
    """What vLLM was given as --custom-histogram-buckets. ValueError for what vLLM would not take either.

    Families that say nothing of an objective are let pass, and are not among the result.
    """
    form = 'a JSON object like {"time_to_first_token": [0.1, 0.2, 0.5]}'
    try:
        document = json.loads(words)
    except ValueError as error:
        raise ValueError(f"{form}: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{form}, got {type(document).__name__}")  # noqa: TRY004 - argparse tells a ValueError
    return {family: _rising(family, bounds) for family, bounds in document.items() if family in BOUNDS_S}


def _rising(family: str, bounds: object) -> tuple[float, ...]:
    numbers = [one for one in bounds if isinstance(one, int | float)] if isinstance(bounds, list) else []
    whole = isinstance(bounds, list) and len(numbers) == len(bounds) > 0
    positive = all(0 < one < math.inf for one in numbers)
    if not whole or not positive or any(later <= one for one, later in pairwise(numbers)):
        raise ValueError(f"{family}: finite numbers above 0, each above the one before, got {bounds}")
    return tuple(float(one) for one in numbers)

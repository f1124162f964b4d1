"""Bounds of vLLM's latency histograms, with the limits of objectives made bounds of their own.

How many requests took longer than a limit can be read off a histogram only where the limit is a bound of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Family = Literal["time_to_first_token", "inter_token_latency", "request_latency"]

# The defaults of vLLM 0.32 (vllm/v1/metrics/buckets.py), by the names that --custom-histogram-buckets knows.
DEFAULTS_S: Mapping[Family, tuple[float, ...]] = {
    "time_to_first_token": (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
        *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
    ),
    "inter_token_latency": (
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
        *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    ),
    "request_latency": (
        *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
        *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
    ),
}


def with_limits(limits_s: Mapping[Family, Sequence[float]]) -> dict[Family, list[float]]:
    """The families that need bounds of their own, in rising order; those whose defaults do are left out.

    `limits_s`: limits in seconds by family, families as in DEFAULTS_S.
    """
    wanted = {family: sorted({*DEFAULTS_S[family], *limits}) for family, limits in limits_s.items()}
    return {family: bounds for family, bounds in wanted.items() if tuple(bounds) != DEFAULTS_S[family]}

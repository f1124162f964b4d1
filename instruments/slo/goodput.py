"""Goodput: requests that complete and meet every per-request limit. The share is over all that were due."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from instruments.records import Outcome, RequestRecord
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.measured import Measured
from instruments.statistics.pooled import Flags, Whole


def is_good(record: RequestRecord, limits: Mapping[str, float], late_s: float = 0.0) -> bool:
    """Completed, and within every limit (DistServe, arXiv 2401.09670).

    A limit on an indicator that is undefined for this request is not kept, with one exception: an
    answer of a single token has no TPOT, and nothing to be slow at. `late_s` is added to what was
    measured, for asking whether a client's late stamps could have changed the answer.
    """
    if record.outcome is not Outcome.COMPLETED:
        return False
    return all(_within(record, name, limit, late_s) for name, limit in limits.items())


def are_good(measured: Measured, limits: Mapping[str, float], late_s: float = 0.0) -> Flags:
    """`is_good` of each of many requests, in their order."""
    good = measured.completed.copy()
    for name, limit in limits.items():
        values, tokens = measured.values(name), measured.output_tokens
        tpot = name == "tpot_s"
        late = late_s / gaps_of(tokens) if tpot else late_s
        good &= (values + late <= limit) | (np.isnan(values) & tpot & (tokens == 1))
    return good


def gaps_of(tokens: Whole) -> Whole:
    """Over how many gaps a TPOT is a mean: one less than the tokens; 1 where these are not told."""
    return np.where(tokens > 1, tokens - 1, 1)


def _within(record: RequestRecord, name: str, limit: float, late_s: float) -> bool:
    of = INDICATORS[name].of
    value = of(record) if of is not None else None
    if value is None:
        return name == "tpot_s" and record.completion_tokens == 1
    gaps = (record.completion_tokens or 2) - 1 if name == "tpot_s" else 1
    return value + late_s / gaps <= limit

"""Goodput: requests that complete and meet every per-request limit. The share is over all that were due."""

from __future__ import annotations

from collections.abc import Mapping

from instruments.records import Outcome, RequestRecord
from instruments.statistics.indicators import INDICATORS


def is_good(record: RequestRecord, limits: Mapping[str, float], late_s: float = 0.0) -> bool:
    """Completed, and within every limit (DistServe, arXiv 2401.09670).

    A limit on an indicator that is undefined for this request is not kept, with one exception: an
    answer of a single token has no TPOT, and nothing to be slow at. `late_s` is added to what was
    measured, for asking whether a client's late stamps could have changed the answer.
    """
    if record.outcome is not Outcome.COMPLETED:
        return False
    return all(_within(record, name, limit, late_s) for name, limit in limits.items())


def _within(record: RequestRecord, name: str, limit: float, late_s: float) -> bool:
    of = INDICATORS[name].of
    value = of(record) if of is not None else None
    if value is None:
        return name == "tpot_s" and record.completion_tokens == 1
    gaps = (record.completion_tokens or 2) - 1 if name == "tpot_s" else 1
    return value + late_s / gaps <= limit

"""An hour of parts that somebody counted, for programs: what they cost, and what has no price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.cost.prices import Prices


def bill_of(prices: Prices, counts: Mapping[str, float]) -> dict[str, Any]:
    """Lines and their sum, an hour; instances and services by number, storage by GiB.

    What no price is listed for is in `unpriced` and in no sum.
    """
    month = prices.hours_per_month
    each = {
        **prices.instance_hour,
        **prices.service_hour,
        **{name: value / month for name, value in {**prices.service_month, **prices.gib_month}.items()},
    }
    lines = [
        {"what": name, "count": count, "per_hour": count * each[name]}
        for name, count in counts.items()
        if name in each
    ]
    return {
        "as_of": prices.as_of.isoformat(),
        "region": prices.region,
        "currency": prices.currency,
        "source": prices.source.partition(";")[0],
        "lines": lines,
        "per_hour": sum(count * each[name] for name, count in counts.items() if name in each),
        "unpriced": sorted(set(counts) - set(each)),
    }

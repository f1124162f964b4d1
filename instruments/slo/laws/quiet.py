"""Laws of rest: when a load is over, the server holds nothing of it."""

from __future__ import annotations

from instruments.slo.laws import Balance, Untold, weighed
from instruments.slo.laws.server import Counted

# Blocks used over all blocks: equal states give equal floats, but for a last digit that a text rounds.
SHARE_ERROR = 1e-9


def drained(counted: Counted) -> Balance:
    """Running and waiting are 0 after the load."""
    running, waiting = counted.gauge("running"), counted.gauge("waiting")
    kept = running == waiting == 0
    return weighed(
        kept, "after the load", "0 running, 0 waiting", f"{running:g} running, {waiting:g} waiting"
    )


def kv_cache(counted: Counted) -> Balance:
    """KV cache in use is what it was before the load: blocks kept for their prefixes are not in use."""
    idle, after = counted.gauge("kv_cache_usage", before=True), counted.gauge("kv_cache_usage")
    if after < idle - SHARE_ERROR:
        raise Untold(
            f"{idle:.4g} of the KV cache was in use before the load, {after:.4g} after it: what idle is"
        )
    reason = "share of the KV cache in use, summed over engines, before and after"
    return weighed(after <= idle + SHARE_ERROR, reason, f"{idle:.4g}", f"{after:.4g}")

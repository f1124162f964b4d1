"""Raising: the way in limits each address, and all load of a run comes from one; for a run it admits more."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from environments.kubernetes.api import Document

NGINX = "nginx.ingress.kubernetes.io/"
RPS, BURST = f"{NGINX}limit-rps", f"{NGINX}limit-burst-multiplier"
LACKS = "the way in admits more than its limit in a run, because all of its load comes from one address"


def raised(documents: Iterable[Document], rate: str) -> list[Document]:
    """The same objects with `rate` (N/second or N/minute, by address) at the way in; a burst is N more."""
    number, _, period = rate.partition("/")
    per_second = int(number) if period == "second" else max(1, int(number) // 60)
    made = copy.deepcopy(list(documents))
    for one in made:
        notes = one["metadata"].get("annotations") or {}
        if one["kind"] == "Ingress" and RPS in notes:
            notes.update({RPS: str(per_second), BURST: "1"})
        if one["kind"] == "RateLimitPolicy":
            for rule in one["spec"]["rateLimit"]["local"]["rules"]:
                rule.update(rate=f"{per_second}r/s", burst=per_second)
    return made

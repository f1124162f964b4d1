"""Faults that grow while a stack is used."""

from itertools import count

from tests.faults.planting import Asked, Planted
from tests.faults.rewriting import KV_CACHE_USAGE, Edit

_looks = count(1)
EACH_LOOK = 0.01  # of the cache


def fuller(asked: Asked) -> Edit | None:
    """With each look at it the cache is fuller."""
    if asked.path != b"/metrics":
        return None
    used = next(_looks) * EACH_LOOK
    return lambda text: KV_CACHE_USAGE.sub(lambda found: found[1] + b"%f" % used, text)


FAULTS = [Planted("cache-fills-up", whole=fuller)]

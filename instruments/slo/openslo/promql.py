"""Queries of Prometheus whose meaning is known whole: one histogram's bucket, one gauge. Of all else None.

A query is read from its first letter to its last: what is left over would change what it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = r"[A-Za-z_:][A-Za-z0-9_:]*"
MATCHER = r'\s*(?P<{}>[A-Za-z_]\w*)\s*(?P<{}>=~|!~|!=|=)\s*"(?P<{}>(?:[^"\\]|\\.)*)"\s*'
ONE = MATCHER.format("label", "means", "value")
ANY = re.sub(r"\?P<\{\}>", "?:", MATCHER)
SELECTOR = rf"(?P<name>{NAME})\s*(?:\{{(?P<matchers>{ANY}(?:,{ANY})*,?\s*)?\}})?"
GAUGE = re.compile(rf"\s*{SELECTOR}\s*")
COUNTER = rf"{SELECTOR}\s*(?P<window>\[[^\]\[]+\])?"
SUMMED = re.compile(
    rf"\s*(?:sum\s*\(\s*)(?:(?P<grown>rate|increase)\s*\(\s*)?{COUNTER}\s*(?(grown)\)\s*)\)\s*"
)
BOUND = re.compile(r"(?P<bound>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)")
# A whole bound as Prometheus 2 stores it and as Prometheus 3 does: "5|5[.]0".
WHOLE = re.compile(r"(?P<bound>\d+)\|(?P=bound)(?:\[\.\]|\\\\\.)0")


@dataclass(frozen=True, slots=True)
class Summed:
    """`sum(rate(NAME{matchers}[window]))`, with `increase`, or with neither and no window."""

    name: str
    matchers: frozenset[tuple[str, str, str]]  # label, operator, value
    grown: str | None
    window: str | None


def bucket_of(good: str, total: str) -> tuple[str, float] | None:
    """The histogram and the bound (s) of a ratio of one bucket to all events; None for any other ratio.

    Both have to be of the same events: the same labels but `le`, over the same window.
    """
    bucket, count = _summed(good), _summed(total)
    if bucket is None or count is None or not bucket.name.endswith("_bucket"):
        return None
    name, bounds = bucket.name.removesuffix("_bucket"), [one for one in bucket.matchers if one[0] == "le"]
    of_all = Summed(f"{name}_count", bucket.matchers - set(bounds), bucket.grown, bucket.window)
    bound_s = _bound_s(*bounds[0][1:]) if len(bounds) == 1 else None
    return (name, bound_s) if bound_s is not None and count == of_all else None


def gauge_of(query: str) -> str | None:
    """The name of the gauge that is all of a query, whatever its labels."""
    found = GAUGE.fullmatch(query)
    return None if found is None else found["name"]


def _summed(query: str) -> Summed | None:
    found = SUMMED.fullmatch(query)
    if found is None or (found["grown"] is None) != (found["window"] is None):
        return None
    each = re.finditer(ONE, found["matchers"] or "")
    matchers = frozenset((one["label"], one["means"], one["value"]) for one in each)
    return Summed(found["name"], matchers, found["grown"], found["window"])


def _bound_s(means: str, value: str) -> float | None:
    found = {"=": BOUND, "=~": WHOLE}[means].fullmatch(value) if means in ("=", "=~") else None
    return None if found is None else float(found["bound"])

"""What the numbers of a journal are, worked out from its lines alone: sorting, counting, dividing.

An independent method: nothing of instruments/ is imported, quantiles are ranks of whole numbers of
nanoseconds, and tails of the binomial law are sums of their terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil, comb, fsum
from typing import Any

Line = dict[str, Any]


def measured(lines: Iterable[Line]) -> list[Line]:
    return sorted((one for one in lines if one["phase"] == "measured"), key=lambda one: int(one["index"]))


def outcomes(lines: Iterable[Line]) -> Counter[str]:
    return Counter(str(one["outcome"]) for one in measured(lines))


def completed(lines: Iterable[Line]) -> list[Line]:
    return [one for one in measured(lines) if one["outcome"] == "COMPLETED"]


def ttft_ns(lines: Iterable[Line]) -> list[int]:
    return sorted(one["first_token_ns"] - one["sent_ns"] for one in completed(lines))


def e2e_ns(lines: Iterable[Line]) -> list[int]:
    return sorted(one["done_ns"] - one["sent_ns"] for one in completed(lines))


def tpot_ns(lines: Iterable[Line]) -> list[Fraction]:
    spans = (
        Fraction(one["last_token_ns"] - one["first_token_ns"], one["completion_tokens"] - 1)
        for one in completed(lines)
        if one["completion_tokens"] > 1
    )
    return sorted(spans)


def itl_ns(lines: Iterable[Line]) -> list[int]:
    """A chunk of k tokens is one gap and k − 1 of nothing; the first chunk has no gap before it."""
    gaps: list[int] = []
    for one in completed(lines):
        gaps += [0] * (one["chunk_tokens"][0] - 1)
        for (before, after), tokens in zip(pairwise(one["chunks_ns"]), one["chunk_tokens"][1:], strict=True):
            gaps += [after - before] + [0] * (tokens - 1)
    return sorted(gaps)


def chunk_gaps_ns(lines: Iterable[Line]) -> list[int]:
    return sorted(b - a for one in completed(lines) for a, b in pairwise(one["chunks_ns"]))


def counting(lines: Iterable[Line], *, cadence: bool = False) -> int:
    """Requests that a quantile is of: none that left on purpose; no answer of one token where it has none."""
    return sum(
        one["outcome"] != "CANCELLED" and not (cadence and one.get("completion_tokens") == 1)
        for one in measured(lines)
    )


def at_share(ordered: Sequence[int | Fraction], total: int, share: Fraction) -> int | Fraction | None:
    """The smallest value with that share of `total` at or below it; those without a value are slower."""
    rank = max(1, ceil(share * total))
    return ordered[rank - 1] if rank <= len(ordered) else None


def ranks(n: int, share: float, confidence: float) -> tuple[int, int]:
    """The widest ranks of an interval for a quantile, each tail with half of what may be missed."""
    terms = [comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(n + 1)]
    tail = (1 - confidence) / 2
    low = max(rank for rank in range(1, n + 1) if fsum(terms[:rank]) <= tail)
    high = min(rank for rank in range(1, n + 1) if fsum(terms[rank:]) <= tail)
    return low, high

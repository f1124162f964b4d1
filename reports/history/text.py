"""Lines for a terminal: columns, and a series as one line of blocks."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from unicodedata import combining, east_asian_width

from reports import wording
from reports.history.series import Point, Series

BLOCKS = "▁▂▃▄▅▆▇█"
BREAK, GONE = "┊", "·"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """A table, each column as wide as its widest cell; columns in `right` are aligned to the right."""
    table = [list(head), *map(list, rows)]
    wide = [max(map(_width, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(_padded(cell, wide[at], at in right) for at, cell in enumerate(row)).rstrip()
        for row in table
    ]


def _padded(cell: str, wide: int, right: bool) -> str:
    space = " " * (wide - _width(cell))
    return space + cell if right else cell + space


def _width(text: str) -> int:
    """How many places it takes on a terminal."""
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def spark(series: Series) -> str:
    """A block for each run, the tallest for the largest value of all; ┊ where the fingerprint changed."""
    known = [one.value for one in series.points if one.value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    return BREAK.join("".join(_block(one, low, high) for one in part) for part in series.segments())


def _block(point: Point, low: float, high: float) -> str:
    if point.value is None:
        return GONE
    if high <= low:
        return BLOCKS[3]
    return BLOCKS[round((point.value - low) / (high - low) * (len(BLOCKS) - 1))]


def percent(share: float | None) -> str:
    """'+4.2 %': a change as a share of what it was, with its sign."""
    if share is None:
        return wording.UNDEFINED
    number = wording.figure(abs(float(f"{share * 100:.3g}")))
    sign = "±" if number == "0" else "−" if share < 0 else "+"
    return f"{sign}{number} %"


def signed(scale: wording.Scale, value: float | None) -> str:
    """'+12 ms', '−3 ms'; of shares '+0.5 points', which is no share of what it was."""
    if value is None:
        return wording.UNDEFINED
    number = scale.number(abs(value))
    unit = "points" if scale.unit == "%" else scale.unit
    sign = "±" if number == "0" else "−" if value < 0 else "+"
    return f"{sign}{number} {unit}".rstrip()


def signed_interval(scale: wording.Scale, low: float, high: float) -> str:
    """'[−3, +12]'; an end that is not known is ∞."""

    def end(value: float) -> str:
        number = "∞" if math.isinf(value) else scale.number(abs(value))
        return number if number == "0" else f"{'−' if value < 0 else '+'}{number}"

    return f"[{end(low)}, {end(high)}]"


def size(count: int) -> str:
    """'412 KiB', '3.4 GiB'."""
    number, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1000:
            break
        number, unit = number / 1024, larger
    return f"{number:.3g} {unit}"


def say(text: str) -> None:
    """On standard output, whatever it can spell."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)  # noqa: T201 - a command line speaks

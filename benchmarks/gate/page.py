"""The calibration table: figures as Markdown, the same on a terminal and on the carried page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from benchmarks.gate.figures import Figure, Share, Size
from benchmarks.table import ABSENT, markdown


def table(figures: Sequence[Figure], repetitions: int, seed: int) -> str:
    """Every section: first what is said of it as a whole, then a row for each law and quantile."""
    parts = [f"{repetitions:,} gates of an unchanged system, all else in proportion; seed {seed}."]
    for section, group in groupby(figures, key=lambda figure: figure.section):
        found = list(group)
        parts.append(f"### {section[0].upper()}{section[1:]}")
        whole = [figure for figure in found if not figure.row]
        rows = [figure for figure in found if figure.row]
        parts += [_shares(whole)] if any(isinstance(one, Share) for one in whole) else []
        parts += [_sizes(whole)] if any(isinstance(one, Size) for one in whole) else []
        parts += [_pivoted(rows)] if rows else []
    return "\n\n".join(parts)


def goals(figures: Sequence[Figure]) -> str:
    """How many goals were set, and those that were not reached."""
    held = [figure for figure in figures if isinstance(figure, Share) and figure.goal is not None]
    short = [figure for figure in held if not figure.verdict.startswith("reached")]
    lines = [f"* {told(figure)}" for figure in short]
    return "\n".join([f"{len(held) - len(short)} of {len(held)} goals reached.", *lines])


def told(figure: Figure) -> str:
    """One figure in one line."""
    where = ", ".join(part for part in (figure.section, figure.row, figure.name) if part)
    if isinstance(figure, Size):
        return f"{where}: {_size(figure)}"
    goal = f", goal {figure.goal}: {figure.verdict}" if figure.goal else ""
    return f"{where}: {_share(figure)}, {figure.count:,} of {figure.of:,}{goal}"


def _shares(figures: Sequence[Figure]) -> str:
    rows = [
        [one.name, _share(one), f"{one.count:,} of {one.of:,}", str(one.goal or ""), one.verdict]
        for one in figures
        if isinstance(one, Share)
    ]
    return markdown(["share", "measured (95 % interval)", "count", "goal", ""], rows)


def _sizes(figures: Sequence[Figure]) -> str:
    rows = [[one.name, _number(one.median), _number(one.p95)] for one in figures if isinstance(one, Size)]
    return markdown(["size", "median", "p95"], rows)


def _pivoted(figures: Sequence[Figure]) -> str:
    """A row for each law and quantile, a column for each figure; sizes as median / p95 / of fixed size."""
    columns = list(dict.fromkeys(figure.name for figure in figures))
    held = any(isinstance(one, Share) and one.goal for one in figures)
    rows = []
    for row in dict.fromkeys(figure.row for figure in figures):
        mine = {figure.name: figure for figure in figures if figure.row == row}
        verdicts = [one.verdict for one in mine.values() if isinstance(one, Share) and one.goal]
        cells = [_cell(mine[name]) if name in mine else ABSENT for name in columns]
        rows.append([row, *cells, *(["; ".join(dict.fromkeys(verdicts))] if held else [])])
    sized = {figure.name for figure in figures if isinstance(figure, Size)}
    header = [f"{name}: median / p95 / fixed size" if name in sized else name for name in columns]
    return markdown(["", *header, *([""] if held else [])], rows)


def _cell(figure: Figure) -> str:
    if isinstance(figure, Size):
        return _size(figure)
    return _share(figure) if figure.goal else _percent(figure.value)


def _share(figure: Share) -> str:
    if figure.bars is None:
        return ABSENT
    low, high = (100 * end for end in figure.bars)
    return f"{_percent(figure.value)} ({low:.3g} to {high:.3g})"


def _size(figure: Size) -> str:
    return " / ".join(_number(one) for one in (figure.median, figure.p95, figure.beside))


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.3g} %" if 0 < value < 0.1 else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"

"""Tables of a page as rows of text: what a reader can copy from it, and nothing of how it was made."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "μs": 1e-6, "%": 0.01, "": 1.0}


class Tables(HTMLParser):
    """Every row of every table, under the label of the group around it, or that its caption begins with."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[tuple[str, list[str]]] = []
        self._label = ""
        self._cells: list[list[str]] | None = None
        self._in_cell = False
        self.feed(page)
        self.close()

    def of(self, label: str) -> list[list[str]]:
        """Rows below a label."""
        return [cells for at, cells in self.rows if at == label]

    def row(self, label: str, first: str) -> list[str]:
        """The one row below a label that begins with a text."""
        found = [cells for cells in self.of(label) if cells and cells[0].startswith(first)]
        assert len(found) == 1, (label, first, found, sorted({at for at, _ in self.rows}))
        return found[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "div" and ("aria-label" in known or "aria-labelledby" in known):
            self._label = known.get("aria-label") or known.get("aria-labelledby") or ""
        if tag == "tr":
            self._cells = []
        if tag in ("td", "th") and self._cells is not None:
            self._cells.append([])
            self._in_cell = True
        if tag in ("br", "span") and self._in_cell and self._cells:
            self._cells[-1].append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False
        if tag == "tr" and self._cells is not None:
            self.rows.append((self._label, [" ".join("".join(cell).split()) for cell in self._cells]))
            self._cells = None

    def handle_data(self, data: str) -> None:
        if self._in_cell and self._cells:
            self._cells[-1].append(data)


def number(text: str) -> float:
    """The first number of a cell in seconds, shares or counts: '0.1137 s [0.09, 0.2]' is 0.1137."""
    found = re.match(r"([0-9][0-9,\u202f\u2009]*(?:\.[0-9]+)?)\s*(ms|µs|μs|s|%)?(?![A-Za-z])", text)
    assert found, f"no number at the beginning of {text!r}"
    return float(re.sub(r"[^0-9.]", "", found[1])) * UNITS[found[2] or ""]


def interval(text: str) -> tuple[float, float]:
    """The ends of '… [40.73, 148.7]' in the unit that the cell's value has, or that follows the bracket."""
    found = re.search(r"\[([0-9.,]+), ([0-9.,]+|∞)\]", text)
    assert found, f"no interval in {text!r}"
    unit = re.match(r"[0-9.,]+\s*(ms|µs|s|%)", text)
    factor = UNITS[unit[1]] if unit else 1.0
    low, high = (float("inf") if end == "∞" else float(end.replace(",", "")) for end in found.groups())
    return low * factor, high * factor

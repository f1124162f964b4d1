"""The text of the metrics guide: its introduction, then a table for each dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from deploy.monitoring.panel import Panel

INTRODUCTION = Path(__file__).with_name("introduction.md")


class Shown(Protocol):
    """What the guide needs of a dashboard."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def shows(self) -> str: ...
    @property
    def panels(self) -> Sequence[Panel]: ...


def guide_text(boards: Iterable[Shown]) -> str:
    """The whole page; a panel that is on two dashboards is in both tables."""
    parts = [INTRODUCTION.read_text("utf-8")]
    for board in boards:
        parts.append(f"## {board.title}\n\n{board.shows} `dashboards/{board.name}.json`\n")
        rows = ["| panel | shows | formula | queries |", "|---|---|---|---|"]
        rows += [_row(panel) for panel in board.panels]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(panel: Panel) -> str:
    shows = " ".join(filter(None, (panel.shows, panel.empty)))
    queries = "<br>".join(f"`{query.expr.replace('|', chr(92) + '|')}`" for query in panel.queries)
    return f"| {panel.title} | {shows} | {panel.formula} | {queries} |"

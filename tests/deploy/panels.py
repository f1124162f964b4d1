"""The dashboards as the tests see them: every query of every panel, with Grafana's variables filled in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments.binaries import ROOT

DASHBOARDS = ROOT / "deploy" / "monitoring" / "dashboards"
FILLED = {"$__rate_interval": "30s", "$model": ".*", "$replica": ".*"}


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    board: str
    panel: str
    letter: str
    expr: str

    @property
    def filled(self) -> str:
        """The query as Prometheus takes it."""
        expr = self.expr
        for variable, value in FILLED.items():
            expr = expr.replace(variable, value)
        assert "$" not in expr, f"a variable that nobody fills in: {expr}"
        return expr

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} {self.letter}"


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard by the name of its file."""
    return {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(Path(DASHBOARDS).glob("*.json"))
    }


def targets() -> list[Target]:
    """Every query of every panel."""
    return [
        Target(name, panel["title"], target["refId"], target["expr"])
        for name, board in boards().items()
        for panel in board["panels"]
        for target in panel["targets"]
    ]
